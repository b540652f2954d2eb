//! The menu: what the restaurant sells, when, and how it is tagged. Plain data.

/// When an item is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meal {
    /// 07:00 to 10:30.
    Breakfast,
    /// 12:00 to 15:00.
    Lunch,
    /// 17:30 to 22:00.
    Dinner,
    /// Drinks until midnight.
    Bar,
}

/// How an item's product tags are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tagging {
    /// Kitchen course and GL code, as the back office writes them.
    Full(&'static str, &'static str),
    /// GL code only.
    Code(&'static str),
    /// The course is present but null: the live scan runs on into the next tag (DOMAIN §9.1).
    NullCourse(&'static str),
    /// `[]`.
    Empty,
    /// NULL.
    Missing,
}

/// One dish or drink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dish {
    /// Name on the menu.
    pub(super) name: &'static str,
    /// `MenuItems.GroupCode`.
    pub(super) group: Option<&'static str>,
    /// Product tags.
    pub(super) tagging: Tagging,
    /// Portions with their price in pence.
    pub(super) portions: &'static [(Option<&'static str>, i64)],
    /// Meals it is served at.
    pub(super) meals: &'static [Meal],
    /// How often it is chosen, against the others of the meal.
    pub(super) weight: i64,
}

const fn dish(
    name: &'static str,
    group: &'static str,
    tagging: Tagging,
    portions: &'static [(Option<&'static str>, i64)],
    meals: &'static [Meal],
    weight: i64,
) -> Dish {
    Dish { name, group: Some(group), tagging, portions, meals, weight }
}

use Meal::{Bar, Breakfast, Dinner, Lunch};
use Tagging::{Code, Empty, Full, Missing, NullCourse};

const FOOD: &str = "3101";
const CHEESE: &str = "3102";
const WINE: &str = "2101";
const BEER: &str = "2102";
const SOFT: &str = "2103";
const DAY: &[Meal] = &[Lunch, Dinner];
const ANY: &[Meal] = &[Breakfast, Lunch, Dinner, Bar];
const EVENING: &[Meal] = &[Lunch, Dinner, Bar];

/// Every dish, in the order of their Ids.
pub(super) const DISHES: &[Dish] = &[
    dish("Full English Breakfast", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 1450)], &[Breakfast], 30),
    dish("Continental Breakfast", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 1150)], &[Breakfast], 18),
    dish("Eggs Benedict", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 1195)], &[Breakfast], 12),
    dish(
        "Smoked Salmon & Scrambled Eggs",
        "Breakfast",
        Full("Breakfast", FOOD),
        &[(Some("Normal"), 1350)],
        &[Breakfast],
        9,
    ),
    dish("Porridge with Honey", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 650)], &[Breakfast], 10),
    dish("Menemen", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 1050)], &[Breakfast], 6),
    dish("Croissant", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 325)], &[Breakfast], 12),
    dish("Toast & Preserves", "Breakfast", Full("Breakfast", FOOD), &[(Some("Normal"), 395)], &[Breakfast], 10),
    dish("Soup of the Day", "Food", Full("Starters", FOOD), &[(Some("Normal"), 695)], DAY, 22),
    dish("Prawn Cocktail", "Food", Full("Starters", FOOD), &[(Some("Normal"), 895)], DAY, 13),
    dish("Chicken Liver Pâté", "Food", Full("Starters", FOOD), &[(Some("Normal"), 850)], DAY, 11),
    dish("Goat's Cheese Tart", "Food", Full("Starters", FOOD), &[(Some("Normal"), 875)], DAY, 9),
    dish("Scallops \"Saint-Jacques\"", "Food", Full("Starters", FOOD), &[(Some("Normal"), 1295)], &[Dinner], 6),
    dish("Patlıcan Salatası", "Food", Full("Starters", FOOD), &[(Some("Normal"), 745)], DAY, 6),
    dish(
        "Mezze Board",
        "Food",
        Full("Sharing/Platters", FOOD),
        &[(Some("Normal"), 1850), (Some("Large"), 2950)],
        EVENING,
        8,
    ),
    dish("Ploughman's Platter", "Food", Full("Sharing/Platters", CHEESE), &[(Some("Normal"), 1595)], EVENING, 5),
    dish("Ribeye Steak", "Food", Full("Mains", FOOD), &[(Some("Normal"), 2650), (Some("Large"), 3250)], DAY, 18),
    dish("Fish Pie", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1695)], DAY, 16),
    dish("Fish & Chips", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1795), (Some("Half"), 1195)], DAY, 24),
    dish("Sunday Roast Beef", "Food", Full("Mains", FOOD), &[(Some("Normal"), 2195), (Some("Half"), 1395)], DAY, 14),
    dish("Lamb Shank", "Food", Full("Mains", FOOD), &[(Some("Normal"), 2295)], &[Dinner], 11),
    dish("Mushroom Risotto", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1595), (Some("Half"), 1050)], DAY, 10),
    dish("İmam Bayıldı", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1495)], DAY, 6),
    dish("Köfte with Bulgur", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1595)], DAY, 7),
    dish("Beef Burger", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1650)], EVENING, 20),
    dish("Caesar Salad", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1350), (Some("Half"), 895)], DAY, 11),
    dish("Club Sandwich", "Food", Full("Mains", FOOD), &[(Some("Normal"), 1395)], &[Lunch, Bar], 14),
    dish("Catch of the Day (per kg)", "Food", Full("Mains", FOOD), &[(Some("Kilo"), 4200)], &[Dinner], 7),
    dish("Staff Curry", "Staff", Full("Mains", FOOD), &[(Some("Normal"), 400)], DAY, 5),
    dish("Chips", "Food", Full("Sides", FOOD), &[(Some("Normal"), 425)], EVENING, 20),
    dish("Seasonal Greens", "Food", Full("Sides", FOOD), &[(Some("Normal"), 450)], DAY, 10),
    dish("Onion Rings", "Food", Full("Sides", FOOD), &[(Some("Normal"), 425)], EVENING, 8),
    dish("Garlic Bread", "Food", Full("Sides", FOOD), &[(Some("Normal"), 495)], EVENING, 9),
    dish("Extra Sauce", "Food", NullCourse(FOOD), &[(None, 150)], DAY, 6),
    dish("Sticky Toffee Pudding", "Food", Full("Desserts", FOOD), &[(Some("Normal"), 795)], DAY, 17),
    dish("Crème Brûlée", "Food", Full("Desserts", FOOD), &[(Some("Normal"), 825)], DAY, 12),
    dish("Apple Crumble", "Food", Full("Desserts", FOOD), &[(Some("Normal"), 750)], DAY, 11),
    dish("Baklava", "Food", Full("Desserts", FOOD), &[(Some("Normal"), 695)], DAY, 7),
    dish("Ice Cream (3 scoops)", "Food", Full("Desserts", FOOD), &[(Some("Normal"), 595)], DAY, 12),
    dish("Birthday Cake 🎂", "Food", Full("Desserts", FOOD), &[(Some("Whole"), 4500)], &[Dinner], 1),
    dish("Cheeseboard", "Food", Full("Desserts", CHEESE), &[(Some("Normal"), 1095), (Some("Large"), 1695)], DAY, 7),
    dish(
        "House Red",
        "Wine",
        Code(WINE),
        &[(Some("175ml"), 595), (Some("250ml"), 795), (Some("Bottle"), 2295)],
        EVENING,
        24,
    ),
    dish(
        "House White",
        "Wine",
        Code(WINE),
        &[(Some("175ml"), 595), (Some("250ml"), 795), (Some("Bottle"), 2295)],
        EVENING,
        24,
    ),
    dish("Rosé", "Wine", Code(WINE), &[(Some("175ml"), 625), (Some("Bottle"), 2395)], EVENING, 9),
    dish("Prosecco", "Wine", Code(WINE), &[(Some("125ml"), 695), (Some("Bottle"), 3295)], EVENING, 13),
    dish("Châteauneuf-du-Pape", "Wine", Code(WINE), &[(Some("Bottle"), 5995)], &[Dinner], 2),
    dish("Best Bitter", "Beer", Code(BEER), &[(Some("Pint"), 545), (Some("Half"), 285)], EVENING, 26),
    dish("Lager", "Beer", Code(BEER), &[(Some("Pint"), 575), (Some("Half"), 300)], EVENING, 28),
    dish("Cider", "Beer", Code(BEER), &[(Some("Pint"), 555), (Some("Half"), 290)], EVENING, 10),
    dish("Rakı", "Spirits", Code(BEER), &[(Some("Single"), 495), (Some("Double"), 895)], &[Dinner, Bar], 5),
    dish("Gin & Tonic", "Spirits", Code(BEER), &[(Some("Single"), 795), (Some("Double"), 1095)], EVENING, 18),
    dish(
        "Single Malt 12 yo",
        "Spirits",
        Code(BEER),
        &[(Some("Single"), 695), (Some("Double"), 1295)],
        &[Dinner, Bar],
        8,
    ),
    dish("Orange Juice", "Soft Drinks", Code(SOFT), &[(Some("Normal"), 350)], ANY, 14),
    dish("Lemonade", "Soft Drinks", Code(SOFT), &[(Some("Normal"), 325)], EVENING, 12),
    dish("Sparkling Water", "Soft Drinks", Code(SOFT), &[(Some("Small"), 295), (Some("Large"), 495)], ANY, 14),
    dish("Tap Water", "Soft Drinks", Empty, &[(Some("Normal"), 0)], ANY, 10),
    dish("Filter Coffee", "Hot Drinks", Code(SOFT), &[(Some("Normal"), 325)], ANY, 24),
    dish("Cappuccino", "Hot Drinks", Code(SOFT), &[(Some("Normal"), 375), (Some("Large"), 425)], ANY, 22),
    dish("English Breakfast Tea", "Hot Drinks", Code(SOFT), &[(Some("Normal"), 295)], ANY, 22),
    dish("Türk Kahvesi", "Hot Drinks", Code(SOFT), &[(Some("Normal"), 345)], ANY, 6),
    Dish {
        name: "Tray Charge",
        group: None,
        tagging: Missing,
        portions: &[(Some("Normal"), 500)],
        meals: &[Breakfast, Bar],
        weight: 4,
    },
];

/// A modifier group with its choices: name, price in pence.
pub(super) type TagGroup = (&'static str, &'static [(&'static str, i64)]);

/// Modifier groups in the order of their Ids.
pub(super) const ORDER_TAGS: &[TagGroup] = &[
    ("Cooking", &[("Blue", 0), ("Rare", 0), ("Medium Rare", 0), ("Medium", 0), ("Well Done", 0)]),
    ("Sauce", &[("Peppercorn", 150), ("Béarnaise", 175), ("Garlic Butter", 100)]),
    ("Allergy", &[("No Nuts", 0), ("Gluten Free", 0), ("Dairy Free", 0)]),
    ("Extras", &[("Add Bacon", 250), ("Extra Cheese", 125), ("Gravy/Jus", 75)]),
    ("Milk", &[("Oat", 40), ("Soya", 40), ("Skimmed", 0)]),
];
