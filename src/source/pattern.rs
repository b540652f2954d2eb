//! Which tables a selection means: patterns over names.
//!
//! `*` stands for any text, `?` for one character, letters match in either case. A pattern is held against the name, against
//! `schema.name`, and against the text that tables have everywhere else (`TableName`'s display: `[a.b]` is the table `a.b` of `dbo`
//! alone, where `a.b` means the table `b` of the schema `a` as well). No tables are looked up here.

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
    let texts = [table.name.clone(), format!("{}.{}", table.schema, table.name), table.to_string()];
    texts.iter().any(|text| matches(&pattern, &fold(text)))
}

/// The patterns of a selection that mean none of the tables: first those to include, then those to exclude.
#[must_use]
pub fn idle<'s>(selection: &'s TableSelection, tables: &[&TableName]) -> (Vec<&'s str>, Vec<&'s str>) {
    let of = |patterns: &'s [String]| {
        let idle = |pattern: &&String| !tables.iter().any(|table| matches_table(pattern, table));
        patterns.iter().filter(idle).map(String::as_str).collect()
    };
    (of(&selection.include), of(&selection.exclude))
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

    #[test]
    fn a_pattern_that_means_nothing_is_told() {
        let tables = [TableName::dbo("Tickets"), TableName { schema: "other".into(), name: "Log".into() }];
        let tables: Vec<&TableName> = tables.iter().collect();
        let selection = TableSelection {
            include: vec!["tick*".into(), "Odrers".into(), "other.*".into()],
            exclude: vec!["*Log".into(), "audit".into()],
            ..TableSelection::default()
        };
        assert_eq!(idle(&selection, &tables), (vec!["Odrers"], vec!["audit"]));
        assert_eq!(idle(&TableSelection::default(), &tables), (vec![], vec![]));
    }

    #[test]
    fn a_name_with_a_point_can_be_meant_alone() {
        assert!(means("[a.b]", "a.b") && means("a.b", "a.b"));
        let other = TableName { schema: "a".into(), name: "b".into() };
        assert!(matches_table("a.b", &other) && !matches_table("[a.b]", &other));
    }
}
