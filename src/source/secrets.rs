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

/// Takes the secret columns out of `table`, and foreign keys that need them; `None` when nothing is left to take.
#[must_use]
pub fn leave_out(mut table: Table) -> Option<Table> {
    let name = table.name.name.clone();
    let whole = TABLES.iter().any(|secret| secret.eq_ignore_ascii_case(&name));
    let columns = COLUMNS
        .iter()
        .find(|(secret, _)| secret.eq_ignore_ascii_case(&name))
        .map_or(&[] as &[&str], |(_, columns)| columns);
    let key = &table.key;
    let is_secret = |column: &Column| {
        if whole {
            !(key.contains(&column.name) && column.sql_type.is_integer())
        } else {
            columns.iter().any(|secret| secret.eq_ignore_ascii_case(&column.name))
        }
    };
    let (left_out, kept): (Vec<Column>, Vec<Column>) = table.columns.into_iter().partition(is_secret);
    if kept.is_empty() {
        return None;
    }
    let is_kept = |name: &String| kept.iter().any(|column| column.name == *name);
    if !table.key.iter().all(is_kept) {
        // Rows cannot be told apart any more by what is left.
        return None;
    }
    table.foreign_keys.retain(|foreign| foreign.columns.iter().all(is_kept));
    table.left_out = left_out.into_iter().map(|column| column.name).collect();
    table.columns = kept;
    Some(table)
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
