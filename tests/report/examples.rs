//! The worked examples Q1, Q4, Q5, Q9, Q10 and Q11 of QUERIES, from the till's rows through the archive to the answer.

use tillvault::{
    demo::trade::fixture::{self, AfterClear},
    model::report::{RankBy, TopSellers},
    report::{
        SourceChoice,
        answer::{AnsweredBy, Report, Rows},
        definition::ReportRequest,
    },
};

use crate::rig::{Rig, Server, Site, no_till};

const COURSES: [&str; 3] = ["Starters", "Mains", "Desserts"];

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn top(days: (&str, &str), by: RankBy, limit: usize, categories: &[&str], excluded: &[&str]) -> ReportRequest {
    ReportRequest::TopSellers(TopSellers {
        from: days.0.parse().unwrap(),
        to: days.1.parse().unwrap(),
        categories: texts(categories),
        limit,
        excluded_groups: texts(excluded),
        by,
    })
}

pub(crate) fn lines(report: &Report) -> Vec<String> {
    match &report.rows {
        Rows::Categories(categories) => categories.iter().map(|row| format!("{} {}", row.id, row.name)).collect(),
        Rows::TopSellers(sellers) => sellers
            .iter()
            .map(|row| {
                let items = row
                    .items
                    .iter()
                    .map(|item| format!("{} {} {}", item.item_name, item.qty, item.revenue.normalize()));
                format!("{}: {}", row.category, items.collect::<Vec<_>>().join(", "))
            })
            .collect(),
    }
}

/// Every question of Q1, Q4 and Q5 with its answer.
pub(crate) fn examples() -> Vec<(ReportRequest, Vec<&'static str>)> {
    let days = ("2026-03-01", "2026-03-02");
    let (soup, pudding) = ("Starters: Soup of the Day 1 6.5", "Desserts: Sticky Toffee Pudding 2 14");
    let by_quantity = "Mains: Fish Pie 3 49.665, Ribeye Steak 3 72, Staff Curry 3 12, Rib-Eye 1 23";
    let by_revenue = "Mains: Ribeye Steak 3 72, Fish Pie 3 49.665, Rib-Eye 1 23, Staff Curry 3 12";
    let without_staff = "Mains: Fish Pie 3 49.665, Ribeye Steak 3 72, Rib-Eye 1 23";
    let quantity = RankBy::Quantity;
    vec![
        (ReportRequest::Categories, vec!["1 Desserts", "2 Mains", "3 Sharing\\/Platters", "4 Starters", "5 Y"]),
        (top(days, quantity, 10, &COURSES, &[]), vec![soup, by_quantity, pudding]),
        (top(days, quantity, 1, &COURSES, &[]), vec![soup, "Mains: Fish Pie 3 49.665", pudding]),
        (top(days, quantity, 10, &COURSES, &["staff"]), vec![soup, without_staff, pudding]),
        (top(days, quantity, 10, &COURSES, &["STAFF "]), vec![soup, without_staff, pudding]),
        (top(days, quantity, 10, &[], &[]), vec![]),
        (top(days, quantity, 10, &["Brunch"], &[]), vec!["Brunch: "]),
        (
            top(days, quantity, 10, &["dEsserts", "Brunch"], &[]),
            vec!["dEsserts: Sticky Toffee Pudding 2 14", "Brunch: "],
        ),
        (top(days, quantity, 10, &["Sharing\\/Platters"], &[]), vec!["Sharing\\/Platters: Mezze Board 1 18"]),
        (top(days, quantity, 10, &["Sharing/Platters"], &[]), vec!["Sharing/Platters: "]),
        (top(days, RankBy::Revenue, 10, &COURSES, &[]), vec![soup, by_revenue, pudding]),
        (top(("2026-02-28", "2026-02-28"), quantity, 10, &["Mains"], &[]), vec!["Mains: Ribeye Steak 1 22"]),
        (top(("2026-03-03", "2026-03-03"), quantity, 10, &["Mains"], &[]), vec!["Mains: Ribeye Steak 1 22"]),
        (top(("2026-03-04", "2026-03-31"), quantity, 10, &["Mains"], &[]), vec!["Mains: "]),
    ]
}

async fn q1_q4_q5_from_the_replica(server: &Server) {
    let mut rig = server.replica("q1_q4_q5_from_the_replica").await;
    Site::new().load(&mut rig, "2026-04-01").await;
    for (request, expected) in examples() {
        let report = rig.choose(&request, SourceChoice::Auto, no_till()).await.unwrap();
        assert_eq!(lines(&report), expected, "{request:?}");
        assert_eq!((report.source, report.snapshot), (AnsweredBy::Replica, Some(1)), "{request:?}");
        assert_eq!(report.as_of.to_string(), "2026-04-01T03:00:00Z");
        assert_eq!(report.warnings, [""; 0]);
    }
    rig.close().await;
}

/// The mains of a range, from the replica.
async fn mains(rig: &Rig, from: &str, to: &str) -> String {
    let report = rig.ask(&top((from, to), RankBy::Quantity, 10, &["Mains"], &[])).await.unwrap();
    lines(&report).remove(0)
}

async fn q9_a_clear_changes_no_old_report(server: &Server) {
    for (schema, after) in [
        ("q9_restarted", AfterClear::RESTARTED),
        ("q9_without_uids", AfterClear::RESTARTED_WITHOUT_UIDS),
        ("q9_continued", AfterClear::CONTINUED),
    ] {
        let mut rig = server.replica(schema).await;
        let mut site = Site::new();
        fixture::keep_only_ticket(&site.till, 1).unwrap();
        if !after.uids {
            fixture::forget_uids(&site.till).unwrap();
        }
        site.load(&mut rig, "2026-03-02").await;
        assert_eq!(mains(&rig, "2026-03-01", "2026-03-01").await, "Mains: Ribeye Steak 1 28", "{schema}");
        fixture::clear_and_trade_on(&site.till, after).unwrap();
        site.load(&mut rig, "2026-03-09").await;
        assert_eq!(mains(&rig, "2026-03-01", "2026-03-01").await, "Mains: Ribeye Steak 1 28", "{schema}");
        assert_eq!(mains(&rig, "2026-03-08", "2026-03-08").await, "Mains: Fish Pie 2 33", "{schema}");
        assert_eq!(
            mains(&rig, "2026-03-01", "2026-03-08").await,
            "Mains: Fish Pie 2 33, Ribeye Steak 1 28",
            "{schema}"
        );
        rig.close().await;
    }
}

async fn q10_a_reopened_ticket_leaves_and_comes_back_changed(server: &Server) {
    let mut rig = server.replica("q10_a_reopened_ticket_leaves_and_comes_back_change").await;
    let mut site = Site::new();
    let day = ("2026-03-01", "2026-03-01");
    site.load(&mut rig, "2026-03-02").await;
    assert_eq!(mains(&rig, day.0, day.1).await, "Mains: Fish Pie 3 49.665, Ribeye Steak 3 72, Staff Curry 3 12");
    fixture::reopen_ticket_1(&site.till).unwrap();
    site.load(&mut rig, "2026-03-03").await;
    assert_eq!(mains(&rig, day.0, day.1).await, "Mains: Fish Pie 3 49.665, Staff Curry 3 12, Ribeye Steak 2 44");
    fixture::close_ticket_1_with_another_steak(&site.till).unwrap();
    site.load(&mut rig, "2026-03-04").await;
    assert_eq!(mains(&rig, day.0, day.1).await, "Mains: Ribeye Steak 4 100, Fish Pie 3 49.665, Staff Curry 3 12");
    rig.close().await;
}

async fn q11_a_moved_line_counts_once(server: &Server) {
    let mut rig = server.replica("q11_a_moved_line_counts_once").await;
    let mut site = Site::new();
    site.load(&mut rig, "2026-03-03").await;
    let before = mains(&rig, "2026-03-01", "2026-03-02").await;
    fixture::move_order_5(&site.till).unwrap();
    site.load(&mut rig, "2026-03-04").await;
    assert_eq!(mains(&rig, "2026-03-01", "2026-03-02").await, before);
    rig.close().await;
}

#[tokio::test]
async fn every_example_has_its_figures_from_the_replica() {
    let server = Server::start().await;
    q1_q4_q5_from_the_replica(&server).await;
    q9_a_clear_changes_no_old_report(&server).await;
    q10_a_reopened_ticket_leaves_and_comes_back_changed(&server).await;
    q11_a_moved_line_counts_once(&server).await;
    server.stop().await;
}
