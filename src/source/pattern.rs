//! Which tables a selection means: patterns over names.
//!
//! `*` stands for any text, `?` for one character, letters match in either case. A pattern is held against the name and
//! against `schema.name`. No tables are looked up here.

use super::TableSelection;
use crate::model::table::TableName;

/// Whether `selection` takes the table. Without a pattern to include, all base tables of `dbo` are taken.
#[must_use]
pub fn selects(selection: &TableSelection, table: &TableName) -> bool {
    let included = if selection.include.is_empty() {
        table.schema.eq_ignore_ascii_case("dbo")
    } else {
        selection.include.iter().any(|pattern| matches_table(pattern, table))
    };
    included && !selection.exclude.iter().any(|pattern| matches_table(pattern, table))
}

/// Whether a pattern means the table.
#[must_use]
pub fn matches_table(pattern: &str, table: &TableName) -> bool {
    let pattern = fold(pattern.trim());
    matches(&pattern, &fold(&table.name)) || matches(&pattern, &fold(&format!("{}.{}", table.schema, table.name)))
}

fn fold(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The usual match with one point of return: the last star takes one character more whenever the rest does not fit.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    t = taken + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(pattern: &str, name: &str) -> bool {
        matches_table(pattern, &TableName::dbo(name))
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(means("tickets", "Tickets"));
        assert!(means("*", "Tickets"));
        assert!(means("Ticket*", "TicketEntities"));
        assert!(means("*Entities", "TicketEntities"));
        assert!(means("T?ckets", "Tickets"));
        assert!(means("dbo.*s", "Tickets"));
        assert!(means("*e*e*", "TicketEntities"));
        assert!(!means("Ticket", "Tickets"));
        assert!(!means("Ticket?", "Ticket"));
        assert!(!means("other.*", "Tickets"));
        assert!(!means("", "Tickets"));
    }

    #[test]
    fn by_default_all_of_dbo() {
        let foreign = TableName { schema: "audit".into(), name: "log".into() };
        let all = TableSelection::default();
        assert!(selects(&all, &TableName::dbo("Tickets")));
        assert!(!selects(&all, &foreign));
        let some = TableSelection { include: vec!["audit.*".into()], exclude: vec!["LOG".into()], ..all };
        assert!(!selects(&some, &foreign));
        assert!(!selects(&some, &TableName::dbo("Tickets")));
    }
}
