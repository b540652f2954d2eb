//! What is left out of an archive unless the owner asks for it (DOMAIN §11): sign-in codes, keys, card data.
//!
//! The rule works on columns, before anything is read, and by name alone, in any case and in any schema, so that a secret
//! is never fetched in the first place. What was left out is listed in `Table::left_out`, and by that in every snapshot.
//!
//! Two cases need a word:
//!
//! * `ProgramSettingValues` holds licence and mail passwords beside harmless settings, one per row. Rows cannot be told
//!   apart safely by their names, which sites and add-ons choose, so the whole column `Value` is left out; the names stay.
//! * `RefreshTokens` and `AddonLicenses` are secret throughout. Only whole-number key columns are kept, which says how many
//!   rows there were and no more; a table without such a key is not taken at all.

use crate::model::table::{Column, Table};

/// Secret columns by table.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("Users", &["PinCode", "Password"]),
    ("GraphqlClients", &["Secret"]),
    ("PaymentTypes", &["ProcessorSettings"]),
    ("Payments", &["PaymentData"]),
    ("ProgramSettingValues", &["Value"]),
    ("Scripts", &["Code"]),
];

/// Tables that are secret throughout.
const TABLES: [&str; 2] = ["RefreshTokens", "AddonLicenses"];

/// Takes the secret columns out of `table`, and what is made from them; `None` when nothing is left to take.
#[must_use]
pub fn leave_out(table: Table) -> Option<Table> {
    let name = table.name.name.clone();
    let whole = TABLES.iter().any(|secret| secret.eq_ignore_ascii_case(&name));
    let columns = COLUMNS
        .iter()
        .find(|(secret, _)| secret.eq_ignore_ascii_case(&name))
        .map_or(&[] as &[&str], |(_, columns)| columns);
    let key = table.key.clone();
    let is_secret = |column: &Column| {
        if whole {
            !(key.contains(&column.name) && column.sql_type.is_integer())
        } else {
            columns.iter().any(|secret| secret.eq_ignore_ascii_case(&column.name))
        }
    };
    let keyed = !table.key.is_empty();
    let (mut table, left_out) = without(table, is_secret);
    if table.columns.is_empty() || (keyed && table.key.is_empty()) {
        // Nothing is left, or rows cannot be told apart any more by what is left.
        return None;
    }
    table.left_out = left_out;
    Some(table)
}

/// `table` without the columns that `is_out` names, without computed columns that are made from them, and without the keys,
/// indexes and checks that need them; and the names of the columns that went, in ordinal order.
#[must_use]
pub fn without(mut table: Table, is_out: impl Fn(&Column) -> bool) -> (Table, Vec<String>) {
    let out: Vec<String> = table.columns.iter().filter(|column| is_out(column)).map(|c| c.name.clone()).collect();
    if out.is_empty() {
        return (table, out);
    }
    // An expression that the login may not see may be about any column.
    let tells = |expression: &str| {
        let lower = expression.to_lowercase();
        expression.is_empty() || out.iter().any(|name| lower.contains(&name.to_lowercase()))
    };
    let (kept, gone): (Vec<Column>, Vec<Column>) = table.columns.into_iter().partition(|column| {
        !out.contains(&column.name) && !column.computed.as_ref().is_some_and(|computed| tells(&computed.expression))
    });
    let is_kept = |name: &String| kept.iter().any(|column| column.name == *name);
    if !table.key.iter().all(is_kept) {
        table.key.clear();
        table.primary_key = None;
    }
    table.foreign_keys.retain(|foreign| foreign.columns.iter().all(is_kept));
    table.indexes.retain(|index| {
        index.columns.iter().map(|column| &column.name).chain(&index.included).all(is_kept)
            && !index.filter.as_deref().is_some_and(tells)
    });
    table.checks.retain(|check| !tells(&check.expression));
    table.columns = kept;
    (table, gone.into_iter().map(|column| column.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        sql_type::SqlType,
        table::{ForeignKey, TableName},
    };

    fn table(name: &str, columns: &[(&str, SqlType)], key: &[&str]) -> Table {
        Table {
            name: TableName::dbo(name),
            columns: columns
                .iter()
                .map(|(name, sql_type)| Column {
                    name: (*name).into(),
                    sql_type: sql_type.clone(),
                    nullable: true,
                    ..Column::default()
                })
                .collect(),
            key: key.iter().map(|name| (*name).into()).collect(),
            ..Table::default()
        }
    }

    fn text() -> SqlType {
        SqlType::NVarChar { length: None }
    }

    #[test]
    fn sign_in_codes_are_left_out_and_listed() {
        let users = table("USERS", &[("Id", SqlType::Int), ("pincode", text()), ("Name", text())], &["Id"]);
        let kept = leave_out(users).unwrap();
        assert_eq!(kept.left_out, ["pincode"]);
        assert_eq!(kept.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["Id", "Name"]);
    }

    #[test]
    fn a_table_without_secrets_stays_as_it_is() {
        let tickets = table("Tickets", &[("Id", SqlType::Int), ("Password", text())], &["Id"]);
        assert_eq!(leave_out(tickets.clone()), Some(tickets));
    }

    #[test]
    fn a_wholly_secret_table_keeps_its_numbers_only() {
        let mut tokens =
            table("RefreshTokens", &[("Id", SqlType::Int), ("Token", text()), ("User", SqlType::Int)], &["Id"]);
        tokens.foreign_keys.push(ForeignKey {
            name: "FK".into(),
            columns: vec!["User".into()],
            references: TableName::dbo("Users"),
            referenced_columns: vec!["Id".into()],
            ..ForeignKey::default()
        });
        let kept = leave_out(tokens).unwrap();
        assert_eq!(kept.left_out, ["Token", "User"]);
        assert!(kept.foreign_keys.is_empty());
        let by_text = table("RefreshTokens", &[("Id", text()), ("Token", text())], &["Id"]);
        assert_eq!(leave_out(by_text), None);
    }
}
