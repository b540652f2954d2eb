//! Names of tables and columns as people type them: any case, and what comes near when there is none.

use crate::error::{Error, Kind, Result};

/// Most names a hint lists.
const MOST_NEAR: usize = 5;

/// The name a person means: the exact one, else the only one that differs by case alone. `what` is `table` or `column`, `place`
/// where it was looked for.
///
/// # Errors
/// `Usage`, with names that come near.
pub(super) fn meant<'a>(
    asked: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
    place: &str,
) -> Result<&'a str> {
    if let Some(exact) = names.clone().into_iter().find(|name| *name == asked) {
        return Ok(exact);
    }
    let lower = asked.to_lowercase();
    let mut alike = names.clone().into_iter().filter(|name| name.to_lowercase() == lower);
    if let (Some(one), None) = (alike.next(), alike.next()) {
        return Ok(one);
    }
    let mut near: Vec<(usize, &str)> =
        names.into_iter().map(|name| (distance(&lower, &name.to_lowercase()), name)).collect();
    near.sort_unstable();
    near.dedup();
    let most = (lower.chars().count() / 2).max(1);
    let close: Vec<&str> = near.iter().filter(|(off, _)| *off <= most).map(|(_, name)| *name).take(MOST_NEAR).collect();
    let error = Error::new(Kind::Usage, format!("there is no {what} {asked} {place}"));
    Err(match (close.as_slice(), near.as_slice()) {
        ([], []) => error,
        ([], all) => {
            let some: Vec<&str> = all.iter().map(|(_, name)| *name).take(MOST_NEAR).collect();
            let more = if all.len() > some.len() { " …" } else { "" };
            error.hint(format!("there are {}{more}", some.join(", ")))
        }
        (close, _) => error.hint(format!("did you mean {}?", close.join(", "))),
    })
}

/// How many letters must be added, left out or exchanged to turn one word into the other; a word inside the other is near.
fn distance(a: &str, b: &str) -> usize {
    if !a.is_empty() && b.contains(a) {
        return 1;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let exchange = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = exchange.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_will_do_where_it_is_clear() {
        let names = ["Tickets", "Orders", "orders"];
        assert_eq!(meant("tickets", names, "table", "here").unwrap(), "Tickets");
        assert_eq!(meant("orders", names, "table", "here").unwrap(), "orders");
        assert!(meant("ORDERS", names, "table", "here").is_err());
    }

    #[test]
    fn near_names_are_told() {
        let names = ["Tickets", "TicketEntities", "Orders", "Payments"];
        let hint = |asked| meant(asked, names, "table", "here").unwrap_err().next_step().map(str::to_owned);
        assert_eq!(hint("Tikets").unwrap(), "did you mean Tickets?");
        assert_eq!(hint("ticket").unwrap(), "did you mean TicketEntities, Tickets?");
        assert_eq!(hint("Nothing like it").unwrap(), "there are Tickets, Orders, Payments, TicketEntities");
        assert_eq!(meant("x", [], "table", "here").unwrap_err().next_step(), None);
    }
}
