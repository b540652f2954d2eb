//! What a clear of the till leaves unchanged, by the program as users start it: every earlier figure, to the cent.

mod support;

use serde_json::Value;
use support::Site;
use tillvault::demo::{
    TillOptions,
    trade::{Clear, Scope},
};

/// Figures of some days as (category, item, pieces, revenue), sorted.
fn figures(report: &Value) -> Vec<(String, String, i64, String)> {
    let mut figures = Vec::new();
    for category in report["rows"].as_array().unwrap() {
        for item in category["items"].as_array().unwrap() {
            figures.push((
                category["category"].as_str().unwrap().to_owned(),
                item["item_name"].as_str().unwrap().to_owned(),
                item["qty"].as_i64().unwrap(),
                item["revenue"].as_str().unwrap().to_owned(),
            ));
        }
    }
    figures.sort();
    figures
}

fn report(site: &Site, source: &str, from: &str, to: &str) -> Value {
    site.json(&["report", "top-sellers", "--from", from, "--to", to, "--limit", "1000", "--source", source])
}

/// The simulation's own books in the report's form.
fn books(site: &Site, from: &str, to: &str, scope: Scope) -> Vec<(String, String, i64, String)> {
    let trade = site.till.trade();
    let groups = trade.expected_sales(from.parse().unwrap(), to.parse().unwrap(), scope);
    let mut figures: Vec<_> = groups
        .into_iter()
        .filter(|group| ["Starters", "Mains", "Desserts"].contains(&group.category.as_str()))
        .map(|group| {
            let pieces = group.quantity.trunc().to_string().parse().unwrap();
            (group.category, group.item_name, pieces, tillvault::report::answer::money_text(group.revenue))
        })
        .collect();
    figures.sort();
    figures
}

fn a_clear_changes_no_earlier_figure(clear: Clear, uids: bool) {
    let site = Site::new(TillOptions { days: 3, tickets_per_day: 30, uids, ..support::options() });
    site.json(&["sync"]);
    let days = ("2026-03-02", "2026-03-04");
    let before = report(&site, "replica", days.0, days.1);
    assert_eq!(figures(&before), books(&site, days.0, days.1, Scope::Everything));
    assert_eq!(figures(&before), figures(&report(&site, "live", days.0, days.1)));
    assert!(figures(&before).len() > 10);

    site.till.trade().clear(clear).unwrap();
    site.till.trade().trade_day().unwrap();
    let synced = site.json(&["sync"]);
    assert!(synced["snapshot"]["clear"].as_str().unwrap().contains("cleared"), "{synced}");
    assert_eq!(synced["snapshot"]["epoch"], 2);
    assert!(synced["load"]["cleared"].as_u64().unwrap() > 50, "{synced}");
    assert_eq!(synced["load"]["deleted"], 0);

    // Old days: as before. New day: as the till says. Both: the sum of the simulation's books.
    assert_eq!(figures(&report(&site, "replica", days.0, days.1)), figures(&before));
    let new_day = report(&site, "replica", "2026-03-05", "2026-03-05");
    assert_eq!(figures(&new_day), figures(&report(&site, "live", "2026-03-05", "2026-03-05")));
    assert_eq!(
        figures(&report(&site, "replica", days.0, "2026-03-05")),
        books(&site, days.0, "2026-03-05", Scope::Everything)
    );

    // From nothing, the same.
    site.json(&["load", "--rebuild"]);
    assert_eq!(figures(&report(&site, "replica", days.0, days.1)), figures(&before));
    // The old state is one query away.
    let count = |as_of: &str| {
        site.json(&["query", "SELECT count(*) AS n FROM Tickets", "--as-of", as_of])["rows"][0]["n"].as_i64().unwrap()
    };
    assert!(count("1") > count("2"));
    let list = site.run(&["snapshots"]).done().stdout;
    assert!(list.contains("cleared:"), "{list}");
}

#[test]
fn delete_and_restart_every_id() {
    a_clear_changes_no_earlier_figure(Clear::Reseed, true);
}

#[test]
fn delete_alone() {
    a_clear_changes_no_earlier_figure(Clear::Delete, true);
}

#[test]
fn truncate_the_leaves() {
    a_clear_changes_no_earlier_figure(Clear::TruncateLeaves, true);
}

#[test]
fn delete_and_restart_every_id_of_a_till_without_uids() {
    a_clear_changes_no_earlier_figure(Clear::Reseed, false);
}

#[test]
fn a_till_that_cannot_be_read_is_never_taken_for_a_cleared_one() {
    use tillvault::demo::fault::{Fault, When};
    let site = Site::with_days(2);
    site.json(&["sync"]);
    site.till.faults().arm(When::Table("Tickets".into()), Fault::permission_denied("SambaPOS5", "Tickets"), 99);
    let ran = site.run(&["sync", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let synced = ran.json();
    assert_eq!((&synced["snapshot"]["clear"], &synced["snapshot"]["epoch"]), (&Value::Null, &1.into()));
    assert_eq!((&synced["load"]["cleared"], &synced["load"]["deleted"]), (&0.into(), &0.into()));
    site.till.faults().clear();
    let synced = site.json(&["sync"]);
    assert_eq!(synced["snapshot"]["epoch"], 1);
    assert_eq!((&synced["load"]["cleared"], &synced["load"]["inserted"]), (&0.into(), &0.into()));
}

#[test]
fn a_clear_is_seen_even_when_the_snapshot_before_could_not_read_the_tickets() {
    use tillvault::demo::fault::{Fault, When};
    let site = Site::with_days(2);
    site.json(&["snapshot"]);
    site.till.faults().arm(When::Table("Tickets".into()), Fault::permission_denied("SambaPOS5", "Tickets"), 99);
    assert_eq!(site.run(&["snapshot"]).code, 3);
    site.till.faults().clear();
    site.till.trade().clear(Clear::Reseed).unwrap();
    site.till.trade().trade_day().unwrap();
    // Loading the second snapshot warns that its tickets could not be trusted.
    let ran = site.run(&["sync", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let synced = ran.json();
    assert_eq!((&synced["snapshot"]["snapshot"], &synced["snapshot"]["epoch"]), (&3.into(), &2.into()));
    assert!(synced["snapshot"]["clear"].as_str().unwrap().contains("cleared"), "{synced}");
}

#[test]
fn a_damaged_chunk_of_earlier_tickets_keeps_no_later_trade_out_of_the_archive() {
    let site = Site::with_days(2);
    site.json(&["snapshot"]);
    for chunk in std::fs::read_dir(site.archive().join("tables/Tickets")).unwrap() {
        std::fs::remove_file(chunk.unwrap().path()).unwrap();
    }
    site.till.trade().trade_day().unwrap();
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("cannot be compared"), "{ran:?}");
    let taken = ran.json();
    assert_eq!((&taken["snapshot"], &taken["epoch"]), (&2.into(), &1.into()));
    // What was written is whole.
    let count = "SELECT count(*) AS n FROM Tickets";
    assert!(site.json(&["query", count])["rows"][0]["n"].as_i64().unwrap() > 50);
}
