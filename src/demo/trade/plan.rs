//! What will happen on a day, thrown in one go from the day's own stream of chance.
//!
//! A plan holds every decision, so that trading a day at once or in quarters of an hour gives the same rows.

use jiff::civil::{Date, Weekday};

use super::{
    at::{At, HOUR, MINUTE, SECOND},
    bill::{Fate, LineTag},
    catalog::{Catalog, Entity},
    dice::Dice,
    json::{Object, array},
    menu::{Dish, Meal, ORDER_TAGS, Tagging},
};

/// How a bill is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pay {
    /// One payment of a type (index into `PAYMENT_TYPES`).
    Whole(usize),
    /// Cash, tendered rounded up to a note.
    CashWithChange,
    /// A voucher of a round value, the rest given back in cash from the drawer.
    VoucherWithChange,
    /// In so many parts, by turns card and cash.
    Split(usize),
    /// On the room's account.
    Room,
}

/// A line to come.
#[derive(Clone, Debug)]
pub(super) struct LinePlan {
    pub(super) uid: String,
    /// Index into the catalog's items.
    pub(super) item: usize,
    /// Index into the dish's portions.
    pub(super) portion: usize,
    /// Thousandths.
    pub(super) quantity: i64,
    pub(super) tags: Vec<LineTag>,
    pub(super) fate: Fate,
    pub(super) refund: bool,
    /// Milliseconds between writing the line down and sending the round.
    pub(super) before: i64,
}

/// A ticket to come.
#[derive(Clone, Debug)]
pub(super) struct TicketPlan {
    pub(super) uid: String,
    pub(super) opened: At,
    pub(super) user: usize,
    pub(super) terminal: i32,
    pub(super) department: i32,
    pub(super) entities: Vec<Entity>,
    pub(super) tags: Option<String>,
    pub(super) note: Option<String>,
    pub(super) rounds: Vec<(At, Vec<LinePlan>)>,
    /// Moment, ordinal of the line, what becomes of it.
    pub(super) mishaps: Vec<(At, usize, Fate)>,
    /// Hundredths of a percent.
    pub(super) discount: i64,
    /// Hundredths of a percent.
    pub(super) service: i64,
    pub(super) pay: Pay,
    /// When one guest pays a share before the rest, if one does.
    pub(super) part_paid: Option<At>,
    pub(super) closed: At,
}

/// Something that happens in the house besides tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// The work period begins.
    StartPeriod,
    /// The work period ends.
    EndPeriod,
    /// A room settles what it owes; by card or by cash.
    Settle { room: usize, card: bool },
    /// Goods arrive: first stock item, number of items.
    Delivery { first: usize, items: usize },
    /// The kitchen sets a timer for so many minutes.
    Timer { minutes: i64 },
}

/// When the work period begins and ends, after midnight of the day.
pub(super) const OPENING: i64 = 6 * HOUR + 30 * MINUTE;
pub(super) const CLOSING: i64 = 25 * HOUR + 30 * MINUTE;

/// Plans a day: tickets and chores.
pub(super) fn day(dice: &mut Dice, catalog: &Catalog, date: Date, tickets: u32) -> (Vec<TicketPlan>, Vec<(At, Chore)>) {
    let busy = match date.weekday() {
        Weekday::Friday | Weekday::Saturday => 120,
        Weekday::Sunday => 110,
        Weekday::Monday | Weekday::Tuesday => 83,
        _ => 92,
    };
    let count = (i64::from(tickets) * busy / 100 + dice.between(-2, 2)).max(1);
    let mut plans: Vec<_> = (0..count).map(|_| ticket(dice, catalog, date)).collect();
    if let Some(late) = plans.first_mut() {
        move_to_midnight(late, date);
    }
    keep_over_night(dice, &mut plans, date);
    plans.sort_by_key(|plan| plan.opened);
    (plans, chores(dice, catalog, date))
}

/// Makes a ticket the one that is opened at 23:50 and paid after midnight (DOMAIN §8).
fn move_to_midnight(plan: &mut TicketPlan, date: Date) {
    let shift = At::on(date, 23 * HOUR + 50 * MINUTE).since(plan.opened);
    plan.opened = plan.opened.plus(shift);
    let last = At::on(date, 24 * HOUR + 20 * MINUTE);
    for (at, _) in &mut plan.rounds {
        *at = at.plus(shift).min(last);
    }
    for (at, ..) in &mut plan.mishaps {
        *at = last.plus(5 * MINUTE);
    }
    plan.closed = At::on(date, 24 * HOUR + 40 * MINUTE + 13 * SECOND);
}

/// Leaves a few tabs of the evening open until breakfast, of hotel guests where there are some.
fn keep_over_night(dice: &mut Dice, plans: &mut [TicketPlan], date: Date) {
    let evening = At::on(date, 17 * HOUR);
    let mut tabs: Vec<_> = plans
        .iter_mut()
        .skip(1)
        .filter(|plan| plan.opened > evening && plan.rounds.iter().flat_map(|round| &round.1).any(|line| !line.refund))
        .collect();
    tabs.sort_by_key(|plan| !plan.entities.iter().any(|entity| entity.account.id != 0));
    let wanted = dice.below(3) + 2;
    for (place, plan) in tabs.into_iter().take(wanted).enumerate() {
        let last = plan.rounds.last().map_or(plan.opened, |round| round.0);
        plan.part_paid = (place == 0).then(|| last.plus(20 * MINUTE));
        plan.closed = At::on(date, 24 * HOUR + dice.between(7 * HOUR + 30 * MINUTE, 10 * HOUR));
    }
}

fn chores(dice: &mut Dice, catalog: &Catalog, date: Date) -> Vec<(At, Chore)> {
    let mut chores = vec![
        (At::on(date, OPENING + dice.between(0, 5 * MINUTE)), Chore::StartPeriod),
        (At::on(date, CLOSING), Chore::EndPeriod),
    ];
    for _ in 0..dice.between(3, 8) {
        let at = At::on(date, dice.between(8 * HOUR, 11 * HOUR));
        chores.push((at, Chore::Settle { room: dice.below(catalog.rooms.len()), card: dice.chance(70) }));
    }
    if dice.chance(60) {
        let items = dice.below(4) + 2;
        chores.push((At::on(date, dice.between(7 * HOUR, 9 * HOUR)), Chore::Delivery { first: dice.below(8), items }));
    }
    for _ in 0..dice.between(1, 4) {
        chores.push((At::on(date, dice.between(11 * HOUR, 21 * HOUR)), Chore::Timer { minutes: dice.between(4, 40) }));
    }
    chores
}

fn ticket(dice: &mut Dice, catalog: &Catalog, date: Date) -> TicketPlan {
    let meal = [Meal::Breakfast, Meal::Lunch, Meal::Dinner, Meal::Bar][dice.weighted([24, 25, 36, 15].into_iter())];
    let (from, to) = match meal {
        Meal::Breakfast => (7 * HOUR, 10 * HOUR),
        Meal::Lunch => (12 * HOUR, 14 * HOUR + 30 * MINUTE),
        Meal::Dinner => (17 * HOUR + 30 * MINUTE, 21 * HOUR + 30 * MINUTE),
        Meal::Bar => (15 * HOUR, 22 * HOUR + 45 * MINUTE),
    };
    let opened = At::on(date, dice.between(from, to));
    let covers = [1, 2, 3, 4, 5, 6, 8][dice.weighted([18, 44, 12, 15, 5, 4, 2].into_iter())];
    let entities = entities(dice, catalog, meal);
    let has_room = entities.iter().any(|entity| entity.account.id != 0);
    let mut rounds = rounds(dice, catalog, meal, covers, opened);
    let refund = dice.chance(1);
    if refund {
        rounds.truncate(1);
        for (_, lines) in &mut rounds {
            lines.truncate(1);
            for line in lines {
                line.quantity = -line.quantity;
                line.refund = true;
                line.fate = Fate::Sold;
            }
        }
    } else if dice.between(1, 200) == 1 {
        rounds.clear();
    }
    let last = rounds.last().map_or(opened, |round| round.0);
    let mishaps = mishaps(dice, &rounds);
    let closed = last.plus(dice.between(12 * MINUTE, 40 * MINUTE));
    TicketPlan {
        uid: dice.uid(),
        opened,
        user: dice.below(4) + 1,
        terminal: [1, 2, 3][dice.weighted([6, 3, 1].into_iter())],
        department: if meal == Meal::Bar { 2 } else { 1 },
        entities,
        tags: ticket_tags(dice, catalog, covers),
        note: note(dice),
        rounds,
        mishaps,
        discount: if dice.chance(5) && !refund { [500, 1000, 1500][dice.below(3)] } else { 0 },
        service: if meal == Meal::Dinner && covers >= 4 && !refund && dice.chance(70) { 1250 } else { 0 },
        pay: if refund { Pay::Whole(0) } else { pay(dice, has_room) },
        part_paid: None,
        closed,
    }
}

fn pay(dice: &mut Dice, has_room: bool) -> Pay {
    if has_room && dice.chance(75) {
        return Pay::Room;
    }
    match dice.weighted([48, 12, 22, 10, 5, 3].into_iter()) {
        0 => Pay::Whole(1),
        1 => Pay::Whole(0),
        2 => Pay::CashWithChange,
        3 => Pay::Split(dice.below(3) + 2),
        4 => Pay::VoucherWithChange,
        _ => Pay::Whole(3),
    }
}

fn entities(dice: &mut Dice, catalog: &Catalog, meal: Meal) -> Vec<Entity> {
    let mut entities = Vec::new();
    // The last table is the bar; a few drinks are sold over it without any table.
    let at_bar = meal == Meal::Bar;
    if !at_bar {
        entities.extend(catalog.tables.get(dice.below(catalog.tables.len().saturating_sub(1))).cloned());
    } else if dice.chance(85) {
        entities.extend(catalog.tables.last().cloned());
    }
    if dice.chance(if meal == Meal::Breakfast { 70 } else { 28 }) {
        entities.extend(dice.pick(&catalog.rooms).cloned());
    }
    if dice.chance(5) {
        entities.extend(dice.pick(&catalog.customers).cloned());
    }
    entities
}

fn ticket_tags(dice: &mut Dice, catalog: &Catalog, covers: i64) -> Option<String> {
    let covers = Object::new().text("TN", "Covers").number("TT", 1).text("TV", &covers.to_string()).end();
    match dice.between(1, 100) {
        1..=60 => Some(array([covers])),
        61..=75 => {
            let guest = dice.pick(&catalog.customers).map_or("", |guest| guest.name.as_str()).replace('\n', " ");
            let booking = format!("{} - {guest}", dice.between(80_000, 99_999));
            Some(array([covers, Object::new().text("TN", "Booking").number("TT", 0).text("TV", &booking).end()]))
        }
        76..=80 => Some(String::from("[]")),
        81..=83 => Some(String::new()),
        84..=85 => Some(array([Object::new().text("TN", "Covers").text("TV", "four").end()])),
        _ => None,
    }
}

fn note(dice: &mut Dice) -> Option<String> {
    match dice.between(1, 100) {
        1..=3 => Some("Allergy: nuts\r\nBirthday 🎂 at 8".to_owned()),
        4..=5 => Some("Pencere kenarı, çocuk sandalyesi".to_owned()),
        6..=12 => Some(String::new()),
        _ => None,
    }
}

/// A course of the meal, as the guests order it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Any,
    Drinks,
    Starters,
    Mains,
    Desserts,
}

fn course_of(dish: &Dish) -> Course {
    match dish.tagging {
        Tagging::Full("Starters" | "Sharing/Platters", _) => Course::Starters,
        Tagging::Full("Desserts", _) => Course::Desserts,
        Tagging::Full(..) | Tagging::NullCourse(_) => Course::Mains,
        _ => Course::Drinks,
    }
}

fn rounds(dice: &mut Dice, catalog: &Catalog, meal: Meal, covers: i64, opened: At) -> Vec<(At, Vec<LinePlan>)> {
    let courses: &[(Course, i64)] = match meal {
        Meal::Breakfast => &[(Course::Any, 100), (Course::Any, 30)],
        Meal::Lunch => &[(Course::Drinks, 90), (Course::Starters, 45), (Course::Mains, 95), (Course::Desserts, 35)],
        Meal::Dinner => &[
            (Course::Drinks, 95),
            (Course::Starters, 65),
            (Course::Mains, 97),
            (Course::Desserts, 55),
            (Course::Drinks, 35),
        ],
        Meal::Bar => &[(Course::Drinks, 100), (Course::Any, 50), (Course::Drinks, 35)],
    };
    let mut at = opened.plus(dice.between(2 * MINUTE, 6 * MINUTE));
    let mut rounds = Vec::new();
    for (course, likely) in courses {
        if !dice.chance(*likely) {
            continue;
        }
        let heads = (covers - dice.between(0, 2)).max(1);
        let mut lines = Vec::new();
        while (lines.len() as u64) < heads.unsigned_abs().min(5) {
            lines.push(line(dice, catalog, meal, *course));
        }
        lines.sort_by_key(|line| -line.before);
        rounds.push((at, lines));
        at = at.plus(dice.between(9 * MINUTE, 24 * MINUTE));
    }
    rounds
}

fn line(dice: &mut Dice, catalog: &Catalog, meal: Meal, course: Course) -> LinePlan {
    let weights = catalog.items.iter().map(|item| {
        let served = item.dish.meals.contains(&meal) && (course == Course::Any || course_of(item.dish) == course);
        if served { item.dish.weight } else { 0 }
    });
    let item = dice.weighted(weights);
    let dish = catalog.items[item].dish;
    let portion = if dish.portions.len() > 1 && dice.chance(35) { dice.below(dish.portions.len()) } else { 0 };
    let quantity = if dish.portions[portion].0 == Some("Kilo") {
        dice.between(385, 1_490)
    } else if course == Course::Mains && dice.between(1, 150) == 1 {
        500
    } else {
        [1_000, 2_000, 3_000, 4_000][dice.weighted([78, 16, 4, 2].into_iter())]
    };
    let fate = if dice.between(1, 120) == 1 { Fate::Stateless } else { Fate::Sold };
    let before = dice.between(0, 40 * SECOND);
    LinePlan { uid: dice.uid(), item, portion, quantity, tags: line_tags(dice, dish), fate, refund: false, before }
}

fn line_tags(dice: &mut Dice, dish: &Dish) -> Vec<LineTag> {
    let mut tags = Vec::new();
    let mut add = |dice: &mut Dice, name: &str, note: Option<&str>| {
        let found = ORDER_TAGS.iter().position(|(group, _)| *group == name);
        if let Some((group, choice)) = found.and_then(|group| Some((group, *dice.pick(ORDER_TAGS[group].1)?))) {
            tags.push(LineTag { group, name: choice.0.to_owned(), price: choice.1, note: note.map(str::to_owned) });
        }
    };
    if dish.name == "Ribeye Steak" {
        add(dice, "Cooking", None);
        if dice.chance(45) {
            add(dice, "Sauce", None);
        }
    }
    if dish.name == "Cappuccino" && dice.chance(25) {
        add(dice, "Milk", None);
    }
    if course_of(dish) == Course::Mains && dice.chance(7) {
        add(dice, "Extras", None);
    }
    if course_of(dish) != Course::Drinks && dice.between(1, 50) == 1 {
        let note = ["severe!", "ask chef\nbefore sending", "fıstık alerjisi"][dice.below(3)];
        add(dice, "Allergy", Some(note));
    }
    tags
}

fn mishaps(dice: &mut Dice, rounds: &[(At, Vec<LinePlan>)]) -> Vec<(At, usize, Fate)> {
    let mut mishaps = Vec::new();
    let lines = rounds.iter().flat_map(|(at, lines)| lines.iter().map(move |line| (at, line)));
    for (ordinal, (at, line)) in lines.enumerate() {
        let fate = match dice.between(1, 1_000) {
            1..=20 => Fate::Void(["Wrong item", "Dropped", "Guest changed mind", "Müşteri vazgeçti"][dice.below(4)]),
            21..=32 => Fate::Gift(["Birthday", "Late dish", "Regular guest"][dice.below(3)]),
            33..=38 => Fate::Canceled,
            _ => continue,
        };
        if !line.refund && line.fate == Fate::Sold {
            mishaps.push((at.plus(dice.between(30 * SECOND, 8 * MINUTE)), ordinal, fate));
        }
    }
    mishaps
}
