//! What the login may do: reading is needed, all of it; anything more is a danger to the till.

use super::{Check, Part, on};
use crate::{
    config::TillConfig,
    model::table::{Table, TableName},
    ops::doctor::{Verdict, words},
    source::sqlserver::{
        examine::{Examination, TableRights},
        queries::examine as statements,
    },
};

/// Whether everything that is selected may be read.
pub(super) fn reading(settings: &TillConfig, selected: &[Table], found: &Examination) -> Check {
    on("reading", &found.table_rights, |rights| {
        let hidden = found.hidden_columns.as_deref().unwrap_or_default();
        let user = found.who.as_ref().map_or(settings.username.as_str(), |(_, user)| user);
        may_read(user, &settings.database, selected, rights, hidden)
    })
}

fn may_read(
    user: &str,
    database: &str,
    selected: &[Table],
    rights: &[TableRights],
    hidden: &[(TableName, String)],
) -> Check {
    let closed = |table: &&Table| rights.iter().any(|right| right.table == table.name && !right.read);
    let tables: Vec<&TableName> = selected.iter().filter(closed).map(|table| &table.name).collect();
    let columns: Vec<(&Table, Vec<String>)> = selected
        .iter()
        .filter(|table| !tables.contains(&&table.name))
        .filter_map(|table| {
            let of_table = hidden.iter().filter(|(name, column)| *name == table.name && table.column(column).is_some());
            let names: Vec<String> = of_table.map(|(_, column)| column.clone()).collect();
            (!names.is_empty()).then_some((table, names))
        })
        .collect();
    if tables.is_empty() && columns.is_empty() {
        return Check::ok(Part::Till, "reading", format!("{} may be read", all_of(selected.len())));
    }
    let mut parts = Vec::new();
    let mut lines = Vec::new();
    if !tables.is_empty() {
        parts.push(format!("{} may not be read: {}", words::counted(tables.len(), "table"), words::names(&tables)));
        lines.extend(statements::let_read(user, database));
        lines.extend(tables.iter().map(|table| statements::take_back_denial(user, table, &[])));
    } else {
        lines.extend(statements::let_read(user, database).first().cloned());
    }
    for (table, names) in &columns {
        parts.push(format!("columns of {} may not be read: {}", table.name, words::names(names)));
        lines.push(statements::take_back_denial(user, &table.name, names));
    }
    Check::new(Part::Till, "reading", Verdict::Failed, parts.join("; "))
        .with_fix("Snapshots lack these until the right to read is given. Run there as an administrator:")
        .with_statements(lines)
}

fn all_of(count: usize) -> String {
    match count {
        1 => "the one table that is taken".to_owned(),
        count => format!("all {} that are taken", words::counted(count, "table")),
    }
}

/// Whether the login has rights it does not need. Asked, never tried.
pub(super) fn beyond_reading(settings: &TillConfig, found: &Examination) -> Check {
    let mut told = Vec::new();
    let (mut known, mut unanswered) = (0, None);
    let groups = [
        ("server role", &found.server_roles),
        ("database role", &found.database_roles),
        ("on the whole database", &found.database_rights),
    ];
    for (index, (words, answer)) in groups.into_iter().enumerate() {
        match answer {
            Ok(names) => {
                known += 1;
                // Beside a role the rights that come with it say nothing new.
                if !names.is_empty() && (index < 2 || told.is_empty()) {
                    told.push(format!("{words} {}", names.join(", ")));
                }
            }
            Err(reason) => unanswered = Some(reason.reason.clone()),
        }
    }
    match &found.table_rights {
        Ok(rights) => {
            known += 1;
            let writable: Vec<&TableName> =
                rights.iter().filter(|right| !right.more.is_empty()).map(|right| &right.table).collect();
            if !writable.is_empty() && told.is_empty() {
                told.push(format!(
                    "may change {}: {}",
                    words::counted(writable.len(), "table"),
                    words::names(&writable)
                ));
            }
        }
        Err(reason) => unanswered = Some(reason.reason.clone()),
    }
    let login = found.who.as_ref().map_or(settings.username.as_str(), |(login, _)| login);
    if !told.is_empty() {
        let own = if login.eq_ignore_ascii_case("tillvault") { "tillvault_reader" } else { "tillvault" };
        return Check::warning(
            Part::Till,
            "rights",
            format!("the login {login} has more rights than reading needs: {}", told.join("; ")),
            "tillvault never uses them, but whoever finds the password could. Make a login that may only read, and put it into the \
             settings (sambapos_db_username and its password file); leave the present one alone, SambaPOS may work with it:",
        )
        .with_statements(statements::make_reader(own, &settings.database));
    }
    match (known, unanswered) {
        (4, _) | (_, None) => Check::ok(Part::Till, "rights", format!("{login} may read and nothing more")),
        (_, Some(reason)) => {
            Check::unknown(Part::Till, "rights", format!("not known whether {login} may do more than read: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sql_type::SqlType;
    use crate::model::table::Column;

    fn table(name: &str) -> Table {
        let column = |name: &str| Column::new(name, SqlType::Int);
        Table::new(TableName::dbo(name), vec![column("Id"), column("Amount")]).with_key(&["Id"])
    }

    fn right(name: &str, read: bool) -> TableRights {
        TableRights { table: TableName::dbo(name), read, more: vec![] }
    }

    #[test]
    fn what_may_not_be_read_is_named_with_the_statements_that_mend_it() {
        let tables = [table("Orders"), table("Payments")];
        let fine = may_read("r", "S", &tables, &[right("Orders", true), right("Payments", true)], &[]);
        assert_eq!(fine.message, "all 2 tables that are taken may be read");
        let closed = may_read("r", "S", &tables, &[right("Orders", true), right("Payments", false)], &[]);
        assert_eq!(closed.verdict, Verdict::Failed);
        assert_eq!(closed.message, "1 table may not be read: Payments");
        assert_eq!(
            closed.statements,
            ["USE [S];", "ALTER ROLE [db_datareader] ADD MEMBER [r];", "REVOKE SELECT ON [dbo].[Payments] FROM [r];"]
        );
        // A column that is left out anyway, or of a table that is not taken, hides nothing.
        let hidden = |column: &str| vec![(TableName::dbo("Orders"), column.to_owned())];
        assert_eq!(may_read("r", "S", &tables, &[], &hidden("PinCode")).verdict, Verdict::Ok);
        let column = may_read("r", "S", &tables, &[], &hidden("Amount"));
        assert_eq!(column.statements, ["USE [S];", "REVOKE SELECT ON [dbo].[Orders] ([Amount]) FROM [r];"]);
    }
}
