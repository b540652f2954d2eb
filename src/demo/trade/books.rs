//! The simulation's own books: what the reports must say, kept apart from the database and from SQL.
//!
//! Every saved ticket is entered with the lines it has now. A clear takes tickets out of the till but not out of the books,
//! so that both the live figures and the figures of an archive can be checked.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use rust_decimal::Decimal;

use super::{
    bill::{Ticket, divide},
    catalog::Catalog,
};
use crate::model::report::SoldGroup;

/// Which tickets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything ever sold, cleared or not: what an archive must say.
    Everything,
    /// What is still in the till: what a live report says.
    Till,
}

#[derive(Clone, Debug)]
struct Line {
    item: i32,
    name: String,
    /// Pence.
    price: i64,
    /// Thousandths.
    quantity: i64,
    sold: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    date: DateTime,
    closed: bool,
    in_till: bool,
    lines: Vec<Line>,
}

/// What was sold, by ticket.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    entries: BTreeMap<u64, Entry>,
}

impl Books {
    /// Enters a ticket as it is now, in place of what was entered before.
    pub(super) fn enter(&mut self, ticket: &Ticket) {
        let lines = ticket.lines.iter().map(|line| Line {
            item: line.item,
            name: line.name.clone(),
            price: line.price,
            quantity: line.quantity,
            sold: line.is_sold(),
        });
        let date = ticket.date.civil();
        self.entries
            .insert(ticket.serial, Entry { date, closed: ticket.closed, in_till: true, lines: lines.collect() });
    }

    /// Notes that tickets left the till: all of them, or the closed ones before a date.
    pub(super) fn clear(&mut self, before: Option<Date>) {
        for entry in self.entries.values_mut() {
            if before.is_none_or(|date| entry.closed && entry.date.date() < date) {
                entry.in_till = false;
            }
        }
    }

    /// The till went back to a backup: tickets written since are no longer in it, the others are as they were.
    pub(super) fn restore(&mut self, backup: &Books) {
        self.clear(None);
        self.entries.extend(backup.entries.iter().map(|(serial, entry)| (*serial, entry.clone())));
    }

    fn closed(&self, from: Date, to: Date, scope: Scope) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| {
            let day = entry.date.date();
            entry.closed && from <= day && day <= to && (scope == Scope::Everything || entry.in_till)
        })
    }

    /// Closed tickets, sold lines and their value (DOMAIN §9.2, without regard to the catalog).
    pub(super) fn figures(&self, from: Date, to: Date, scope: Scope) -> (usize, usize, Decimal) {
        let (mut tickets, mut lines, mut value) = (0, 0, 0);
        for entry in self.closed(from, to, scope) {
            tickets += 1;
            for line in entry.lines.iter().filter(|line| line.sold) {
                lines += 1;
                value += line.price * line.quantity;
            }
        }
        (tickets, lines, Decimal::new(value, 5))
    }

    /// Sold lines by kitchen course and name at the time of sale, in that order.
    pub(super) fn groups(&self, catalog: &Catalog, from: Date, to: Date, scope: Scope) -> Vec<SoldGroup> {
        let courses: BTreeMap<i32, Option<&str>> = catalog
            .items
            .iter()
            .map(|item| (item.id, item.custom_tags.as_deref().and_then(|tags| scan(tags, "Kitchen Course"))))
            .collect();
        let mut groups: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
        for line in self.closed(from, to, scope).flat_map(|entry| &entry.lines).filter(|line| line.sold) {
            if let Some(course) = courses.get(&line.item).copied().flatten() {
                let group = groups.entry((course, &line.name)).or_default();
                group.0 += divide(line.quantity, 10);
                group.1 += line.price * line.quantity;
            }
        }
        let sold = |((category, name), (quantity, revenue)): ((&str, &str), (i64, i64))| SoldGroup {
            category: category.to_owned(),
            item_name: name.to_owned(),
            quantity: Decimal::new(quantity, 2),
            revenue: Decimal::new(revenue, 5),
        };
        groups.into_iter().map(sold).collect()
    }
}

/// The raw scan of DOMAIN §9.1: no JSON decoding, so `null` runs on into the next value.
fn scan<'t>(tags: &'t str, name: &str) -> Option<&'t str> {
    // ASCII folding keeps byte positions, and the markers are ASCII.
    let folded = tags.to_ascii_lowercase();
    let marker = format!("\"TN\":\"{name}\"").to_ascii_lowercase();
    let tag = folded.find(&marker)?;
    let value = tag + folded[tag..].find("\"tv\":\"")? + "\"TV\":\"".len();
    let end = value + tags[value..].find('"')?;
    Some(&tags[value..end]).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn the_scan_reads_raw_text() {
        let tags = r#"[{"TN":"Kitchen Course","TV":"Sharing\/Platters"},{"TN":"NewBook GLA","TV":"3101"}]"#;
        assert_eq!(scan(tags, "kitchen course"), Some(r"Sharing\/Platters"));
        assert_eq!(scan(tags, "NewBook GLA"), Some("3101"));
        assert_eq!(
            scan(r#"[{"TN":"Kitchen Course","TV":null},{"TN":"Kitchen Print","TV":"Y"}]"#, "Kitchen Course"),
            Some("Y")
        );
        assert_eq!(scan(r#"[{"TN":"Kitchen Course","TV":""}]"#, "Kitchen Course"), None);
        assert_eq!(scan("Kitchen Course:Mains", "Kitchen Course"), None);
    }
}
