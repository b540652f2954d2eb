//! Is it a SambaPOS database, and what of it is taken?

use super::{Check, Part};
use crate::{
    model::table::Table,
    ops::doctor::words,
    source::{TableSelection, pattern, sqlserver::examine::Examination},
};

/// Tables that every SambaPOS database has, of whatever version.
const EXPECTED: [&str; 6] = ["Tickets", "Orders", "Payments", "MenuItems", "WorkPeriods", "Users"];

/// Everything about tables: SambaPOS, selection, secrets, types.
pub(super) fn checks(selection: &TableSelection, all: &[Table], selected: &[Table], found: &Examination) -> Vec<Check> {
    let mut checks = vec![sambapos(all, found), activity(found)];
    checks.push(taken(selection, all, selected));
    checks.extend(secrets(selection, selected));
    checks.extend(types(selected));
    checks.extend(untrue(selection, found));
    checks
}

fn dbo<'t>(all: &'t [Table], name: &str) -> Option<&'t Table> {
    all.iter().find(|table| table.name.schema == "dbo" && table.name.name.eq_ignore_ascii_case(name))
}

fn sambapos(all: &[Table], found: &Examination) -> Check {
    let missing: Vec<&str> = EXPECTED.into_iter().filter(|name| dbo(all, name).is_none()).collect();
    let fix = "Is it the right database (sambapos_db_name)? A table the login may not read is not shown to it either: the login \
               needs the role db_datareader. Everything that can be seen is archived all the same.";
    if missing.len() == EXPECTED.len() {
        return Check::warning(Part::Till, "sambapos", "this is no SambaPOS database: it has none of its tables", fix);
    }
    if !missing.is_empty() {
        let message = format!("tables that every SambaPOS database has are missing: {}", missing.join(", "));
        return Check::warning(Part::Till, "sambapos", message, fix);
    }
    let uids = dbo(all, "Tickets")
        .is_some_and(|table| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case("TicketUid")));
    let version = if uids { "version 5" } else { "version 3 or 4" };
    let step = match &found.schema_version {
        Ok(Some(step)) => format!(", database step {step}"),
        _ => String::new(),
    };
    Check::ok(Part::Till, "sambapos", format!("a SambaPOS database, {version}{step}"))
}

fn activity(found: &Examination) -> Check {
    match &found.newest_ticket {
        Ok(Some(newest)) => {
            let message = format!("the newest ticket was opened at {}", newest.strftime("%Y-%m-%d %H:%M"));
            Check::ok(Part::Till, "activity", message)
        }
        Ok(None) => {
            Check::ok(Part::Till, "activity", "there is no ticket: nothing was sold yet, or the till was cleared")
        }
        Err(unanswered) => Check::unknown(
            Part::Till,
            "activity",
            format!("when the newest ticket was opened is not known: {}", unanswered.reason),
        ),
    }
}

fn taken(selection: &TableSelection, all: &[Table], selected: &[Table]) -> Check {
    let names: Vec<_> = all.iter().map(|table| &table.name).collect();
    let (include, exclude) = pattern::idle(selection, &names);
    let unused: Vec<&str> = include.into_iter().chain(exclude).collect();
    let left: Vec<_> = all
        .iter()
        .filter(|table| !selected.iter().any(|taken| taken.name == table.name))
        .map(|table| table.name.to_string())
        .collect();
    let mut message =
        format!("{} found, {} taken", words::counted(all.len(), "table"), words::number(selected.len() as u64));
    if !left.is_empty() {
        message.push_str(&format!("; not taken: {}", words::names(&left)));
    }
    if selected.is_empty() {
        let fix = "Change include and exclude under [tables] in the settings; without any, all tables of the schema dbo are taken.";
        let check = Check::new(Part::Till, "tables", crate::ops::doctor::Verdict::Failed, message).with_fix(fix);
        return Check { exit_code: crate::error::Kind::Config.exit_code(), ..check };
    }
    if unused.is_empty() {
        return Check::ok(Part::Till, "tables", message);
    }
    message.push_str(&format!("; no table is meant by {}", words::names(&unused)));
    Check::warning(Part::Till, "tables", message, "Correct or remove these patterns under [tables] in the settings.")
}

fn secrets(selection: &TableSelection, selected: &[Table]) -> Option<Check> {
    if selection.with_secrets {
        let message = "PINs, passwords, licence keys and card data are archived, too, since with_secrets is set";
        let fix =
            "Whoever can read the archive can read them. Take with_secrets out of the settings unless you need it.";
        return Some(Check::warning(Part::Till, "secrets", message, fix));
    }
    let left_out: Vec<String> = selected
        .iter()
        .flat_map(|table| table.left_out.iter().map(move |column| format!("{}.{column}", table.name)))
        .collect();
    (!left_out.is_empty())
        .then(|| Check::ok(Part::Till, "secrets", format!("left out of the archive: {}", words::names(&left_out))))
}

fn types(selected: &[Table]) -> Option<Check> {
    let columns: Vec<String> = selected
        .iter()
        .filter_map(|table| {
            table.unsupported().map(|column| format!("{}.{} ({})", table.name, column.name, column.sql_type))
        })
        .collect();
    (!columns.is_empty()).then(|| {
        let message = format!("these cannot be kept exactly, so their tables are not taken: {}", words::names(&columns));
        let fix = "Snapshots go on without these tables and warn. To be rid of the warning, name them in exclude under [tables].";
        Check::warning(Part::Till, "types", message, fix)
    })
}

/// What the server does not show as it is.
fn untrue(selection: &TableSelection, found: &Examination) -> Vec<Check> {
    let taken = found.about_tables.iter().filter(|(table, _)| pattern::selects(selection, table));
    taken
        .map(|(_, words)| {
            let (message, fix) = words.split_once(". ").unwrap_or((words, ""));
            let fix = if fix.is_empty() {
                "Name the table in exclude under [tables] to be rid of this warning."
            } else {
                fix
            };
            Check::warning(Part::Till, "masked", message, fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::TableName;
    use crate::ops::doctor::Verdict;

    fn table(schema: &str, name: &str) -> Table {
        Table::new(TableName { schema: schema.into(), name: name.into() }, vec![])
    }

    #[test]
    fn patterns_that_mean_nothing_are_told() {
        let all = [table("dbo", "Tickets"), table("audit", "log")];
        let selection =
            TableSelection { exclude: vec!["Tikets".into(), "audit.*".into()], ..TableSelection::default() };
        let check = taken(&selection, &all, &all[..1]);
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.message, "2 tables found, 1 taken; not taken: audit.log; no table is meant by Tikets");
        let check = taken(&TableSelection::default(), &all, &[]);
        assert_eq!((check.verdict, check.exit_code), (Verdict::Failed, 2));
    }
}
