//! Names of tables, and the one text each of them has.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A table's schema-qualified name, in the server's own case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// Schema, nearly always `dbo`.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// A table of the `dbo` schema.
    #[must_use]
    pub fn dbo(name: impl Into<String>) -> Self {
        Self { schema: "dbo".into(), name: name.into() }
    }
}

/// `Tickets` for tables of `dbo`, `other.Things` else: the name in the CLI, in JSON and as a view in queries.
///
/// No two tables have the same one: a part that has a point in it, or begins with a bracket, stands in brackets as T-SQL
/// writes them, so `dbo."a.b"` is `[a.b]` and not the table `b` of the schema `a`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "dbo" {
            part(f, &self.schema)?;
            f.write_str(".")?;
        }
        part(f, &self.name)
    }
}

fn part(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.contains('.') || text.starts_with('[') {
        write!(f, "[{}]", text.replace(']', "]]"))
    } else {
        f.write_str(text)
    }
}

/// Reads what [`fmt::Display`] writes. Any text names a table: what is in no such form is the name of a table of `dbo`.
impl FromStr for TableName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((first, rest)) = split_part(text) else { return Ok(Self::dbo(text)) };
        if rest.is_empty() {
            return Ok(Self::dbo(first));
        }
        match rest.strip_prefix('.').and_then(split_part) {
            Some((name, "")) => Ok(Self { schema: first, name }),
            _ => Ok(Self::dbo(text)),
        }
    }
}

/// The first part of a name and what follows it.
fn split_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('[') else {
        let end = text.find('.').unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once(']')?;
        part.push_str(before);
        match after.strip_prefix(']') {
            Some(more) => {
                part.push(']');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn every_name_has_a_text_of_its_own() {
        let names = [
            (TableName::dbo("Tickets"), "Tickets"),
            (TableName::dbo("Odd ]Table"), "Odd ]Table"),
            (TableName::dbo("a.b"), "[a.b]"),
            (other("a", "b"), "a.b"),
            (other("a.b", "c"), "[a.b].c"),
            (other("a", "b.c"), "a.[b.c]"),
            (TableName::dbo("[a.b]"), "[[a.b]]]"),
            (TableName::dbo("[x"), "[[x]"),
            (TableName::dbo("a.]]b"), "[a.]]]]b]"),
            (other("DBO", "x"), "DBO.x"),
            (TableName::dbo("Größe 菜单"), "Größe 菜单"),
            (TableName::dbo(" "), " "),
        ];
        for (name, text) in &names {
            assert_eq!(name.to_string(), *text);
            assert_eq!(text.parse::<TableName>().unwrap(), *name, "{text}");
        }
    }

    #[test]
    fn any_text_is_a_name() {
        for text in ["[x", "[x]y", "a.b.c", "", "[a].[b", "."] {
            let _: TableName = text.parse().unwrap();
        }
        assert_eq!("a.b.c".parse::<TableName>().unwrap(), TableName::dbo("a.b.c"));
    }
}
