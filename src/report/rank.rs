//! From sums per (category, item name) to the answer: folding, ranking, cutting. Pure; used for both back ends alike.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::answer::{Category, CategorySellers, SoldItem};
use crate::{
    error::{Error, Kind, Result},
    model::report::{RankBy, SoldGroup, TopSellers},
};

/// The form in which text is compared: trailing blanks off, every letter in lower case, accents kept (DOMAIN §9.2).
///
/// Like `Latin1_General_CI_AS` for the names of a menu; the special rules of other collations (`ß` = `ss`, the Turkish `i`)
/// are not imitated.
#[must_use]
pub fn fold(text: &str) -> String {
    text.trim_end_matches(' ').chars().flat_map(char::to_lowercase).collect()
}

/// The categories report (DOMAIN §9.3): distinct by folded text, in folded order, numbered from 1. Of several spellings the
/// smallest by code point is shown, without blanks around it.
#[must_use]
pub fn categories(found: Vec<String>) -> Vec<Category> {
    let mut distinct: BTreeMap<String, String> = BTreeMap::new();
    for name in found {
        let label = distinct.entry(fold(&name)).or_insert_with(|| name.clone());
        if name < *label {
            *label = name;
        }
    }
    distinct
        .into_iter()
        .filter(|(folded, _)| !folded.is_empty())
        .zip(1..)
        .map(|((_, name), id)| Category { id, name: name.trim().to_owned() })
        .collect()
}

/// What one folded item name sold.
struct Sum<'a> {
    label: &'a str,
    quantity: Decimal,
    revenue: Decimal,
}

/// The top-sellers report (DOMAIN §9.6): every requested category in the order and spelling of the request, its items ranked
/// by the exact sum, ties by folded name, cut to the limit, quantities then cut to whole numbers.
///
/// # Errors
/// `Query` when a sum has more digits than an exact decimal holds.
pub fn top_sellers(groups: &[SoldGroup], request: &TopSellers) -> Result<Vec<CategorySellers>> {
    request
        .categories
        .iter()
        .map(|category| Ok(CategorySellers { category: category.clone(), items: sellers(groups, category, request)? }))
        .collect()
}

fn sellers(groups: &[SoldGroup], category: &str, request: &TopSellers) -> Result<Vec<SoldItem>> {
    let wanted = fold(category);
    let mut sums: BTreeMap<String, Sum<'_>> = BTreeMap::new();
    for group in groups.iter().filter(|group| fold(&group.category) == wanted) {
        let name = group.item_name.as_str();
        let sum =
            sums.entry(fold(name)).or_insert(Sum { label: name, quantity: Decimal::ZERO, revenue: Decimal::ZERO });
        sum.label = sum.label.min(name);
        sum.quantity = add(sum.quantity, group.quantity, name)?;
        sum.revenue = add(sum.revenue, group.revenue, name)?;
    }
    let mut ranked: Vec<Sum<'_>> = sums.into_values().collect();
    // The map was in folded order and the sort is stable: ties stay in that order.
    ranked.sort_by_key(|sum| {
        std::cmp::Reverse(match request.by {
            RankBy::Quantity => sum.quantity,
            RankBy::Revenue => sum.revenue,
        })
    });
    ranked.truncate(request.limit);
    ranked
        .into_iter()
        .map(|sum| {
            let qty = sum.quantity.trunc().to_i64().ok_or_else(|| too_large(sum.label))?;
            Ok(SoldItem { item_name: sum.label.to_owned(), qty, revenue: sum.revenue })
        })
        .collect()
}

fn add(a: Decimal, b: Decimal, item: &str) -> Result<Decimal> {
    a.checked_add(b).ok_or_else(|| too_large(item))
}

fn too_large(item: &str) -> Error {
    Error::new(Kind::Query, format!("the figures of item {item:?} are too large to be summed exactly"))
        .hint("ask for fewer days, and look for a mistyped price or quantity")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of the lines of QUERIES' fixture that Q4 counts, as a back end delivers them (before exclusions).
    fn groups() -> Vec<SoldGroup> {
        [
            ("Starters", "Soup of the Day", "1.00", "6.50"),
            ("Mains", "Ribeye Steak", "3.00", "72.00"),
            ("Mains", "Fish Pie", "3.02", "49.66500"),
            ("Mains", "Staff Curry", "3.00", "12.00"),
            ("Mains", "Rib-Eye", "1.00", "23.00"),
            ("Desserts", "Sticky Toffee Pudding", "2.00", "14.00"),
            ("Sharing\\/Platters", "Mezze Board", "1.00", "18.00"),
        ]
        .map(|(category, item, quantity, revenue)| group(category, item, quantity, revenue))
        .to_vec()
    }

    fn group(category: &str, item: &str, quantity: &str, revenue: &str) -> SoldGroup {
        SoldGroup {
            category: category.into(),
            item_name: item.into(),
            quantity: quantity.parse().unwrap(),
            revenue: revenue.parse().unwrap(),
        }
    }

    fn request(categories: &[&str], limit: usize, by: RankBy) -> TopSellers {
        TopSellers {
            from: "2026-03-01".parse().unwrap(),
            to: "2026-03-02".parse().unwrap(),
            categories: categories.iter().map(|name| (*name).to_owned()).collect(),
            limit,
            excluded_groups: vec![],
            by,
        }
    }

    fn lines(groups: &[SoldGroup], request: &TopSellers) -> Vec<String> {
        let line = |seller: &CategorySellers| {
            let items =
                seller.items.iter().map(|item| format!("{} {} {}", item.item_name, item.qty, item.revenue.normalize()));
            format!("{}: {}", seller.category, items.collect::<Vec<_>>().join(", "))
        };
        top_sellers(groups, request).unwrap().iter().map(line).collect()
    }

    const COURSES: [&str; 3] = ["Starters", "Mains", "Desserts"];

    #[test]
    fn q4_ranks_by_the_exact_quantity_and_ties_by_name() {
        assert_eq!(
            lines(&groups(), &request(&COURSES, 10, RankBy::Quantity)),
            [
                "Starters: Soup of the Day 1 6.5",
                "Mains: Fish Pie 3 49.665, Ribeye Steak 3 72, Staff Curry 3 12, Rib-Eye 1 23",
                "Desserts: Sticky Toffee Pudding 2 14",
            ]
        );
    }

    #[test]
    fn q4_with_limit_1_cuts_after_ranking() {
        assert_eq!(
            lines(&groups(), &request(&COURSES, 1, RankBy::Quantity)),
            ["Starters: Soup of the Day 1 6.5", "Mains: Fish Pie 3 49.665", "Desserts: Sticky Toffee Pudding 2 14"]
        );
        assert_eq!(lines(&groups(), &request(&["Mains"], 0, RankBy::Quantity)), ["Mains: "]);
    }

    #[test]
    fn q5_ranks_by_revenue() {
        assert_eq!(
            lines(&groups(), &request(&["Mains"], 10, RankBy::Revenue)),
            ["Mains: Ribeye Steak 3 72, Fish Pie 3 49.665, Rib-Eye 1 23, Staff Curry 3 12"]
        );
    }

    #[test]
    fn every_requested_category_is_there_in_the_order_and_spelling_asked_for() {
        assert_eq!(lines(&groups(), &request(&["Brunch"], 10, RankBy::Quantity)), ["Brunch: "]);
        assert_eq!(lines(&groups(), &request(&[], 10, RankBy::Quantity)), [""; 0]);
        assert_eq!(
            lines(&groups(), &request(&["DESSERTS  ", "starters"], 10, RankBy::Quantity)),
            ["DESSERTS  : Sticky Toffee Pudding 2 14", "starters: Soup of the Day 1 6.5"]
        );
        assert_eq!(lines(&groups(), &request(&["Sharing/Platters"], 10, RankBy::Quantity)), ["Sharing/Platters: "]);
        assert_eq!(
            lines(&groups(), &request(&["Sharing\\/Platters"], 10, RankBy::Quantity)),
            ["Sharing\\/Platters: Mezze Board 1 18"]
        );
    }

    #[test]
    fn spellings_of_one_name_are_one_item_under_the_smallest_spelling() {
        let groups = [
            group("Mains", "soup", "1.25", "1"),
            group("mains ", "Soup ", "1.50", "2"),
            group("MAINS", "Soup", "0.25", "0.5"),
            group("Mains", "Söup", "9.00", "9"),
        ];
        assert_eq!(lines(&groups, &request(&["Mains"], 10, RankBy::Quantity)), ["Mains: Söup 9 9, Soup 3 3.5"]);
    }

    #[test]
    fn quantities_are_cut_toward_zero_and_refunds_may_lead_below_it() {
        let groups = [group("Mains", "Refund", "-1.99", "-5"), group("Mains", "Half", "0.99", "3")];
        assert_eq!(lines(&groups, &request(&["Mains"], 10, RankBy::Quantity)), ["Mains: Half 0 3, Refund -1 -5"]);
    }

    #[test]
    fn sums_that_do_not_fit_are_an_error_and_no_panic() {
        let huge = Decimal::MAX;
        let groups = vec![SoldGroup { category: "M".into(), item_name: "X".into(), quantity: huge, revenue: huge }; 2];
        let error = top_sellers(&groups, &request(&["M"], 10, RankBy::Quantity)).unwrap_err();
        assert_eq!(error.kind(), Kind::Query);
        assert!(
            top_sellers(&groups[..1], &request(&["M"], 10, RankBy::Quantity)).is_err(),
            "no whole number of 64 bits"
        );
    }

    #[test]
    fn q1_numbers_the_distinct_categories() {
        let found = [
            "Starters",
            "Mains",
            "mains",
            "MAINS ",
            "Mains",
            "Desserts",
            "Y",
            "Sharing\\/Platters",
            "",
            "  ",
            " Éclairs",
        ];
        let rows: Vec<_> = categories(found.map(str::to_owned).to_vec())
            .into_iter()
            .map(|category| format!("{} {}", category.id, category.name))
            .collect();
        assert_eq!(rows, ["1 Éclairs", "2 Desserts", "3 MAINS", "4 Sharing\\/Platters", "5 Starters", "6 Y"]);
    }

    use proptest::prelude::*;

    fn any_group() -> impl Strategy<Value = SoldGroup> {
        let name = prop::sample::select(vec!["Soup", "soup", "SOUP ", "Söup", "Pie", "pie  ", "Ribeye", ""]);
        let category = prop::sample::select(vec!["Mains", "mains ", "Starters"]);
        (category, name, -300_i64..300, -100_000_i64..100_000).prop_map(|(category, item, quantity, revenue)| {
            SoldGroup {
                category: category.into(),
                item_name: item.into(),
                quantity: Decimal::new(quantity, 2),
                revenue: Decimal::new(revenue, 5),
            }
        })
    }

    proptest! {
        /// However a back end splits and orders its groups, the answer is the same; a smaller limit gives a prefix; revenue
        /// is neither lost nor counted twice.
        #[test]
        fn the_answer_depends_on_the_sums_alone(
            groups in prop::collection::vec(any_group(), 0..20),
            limit in 0_usize..6,
            by in prop::sample::select(vec![RankBy::Quantity, RankBy::Revenue]),
        ) {
            let all = request(&["MAINS", "starters"], usize::MAX, by);
            let answer = top_sellers(&groups, &all).unwrap();
            let halves = |group: &SoldGroup| {
                let half = SoldGroup { quantity: group.quantity / Decimal::TWO, revenue: group.revenue / Decimal::TWO, ..group.clone() };
                [half.clone(), half]
            };
            let mut split: Vec<SoldGroup> = groups.iter().flat_map(halves).collect();
            split.reverse();
            prop_assert_eq!(&top_sellers(&split, &all).unwrap(), &answer);
            for (whole, cut) in answer.iter().zip(top_sellers(&groups, &request(&["MAINS", "starters"], limit, by)).unwrap()) {
                prop_assert_eq!(&whole.items[..limit.min(whole.items.len())], &cut.items[..]);
            }
            let shown: Decimal = answer.iter().flat_map(|seller| &seller.items).map(|item| item.revenue).sum();
            prop_assert_eq!(shown, groups.iter().map(|group| group.revenue).sum::<Decimal>());
        }
    }
}
