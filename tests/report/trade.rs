//! Weeks of simulated trade: both back ends against the simulation's own books, before and after a clear.

use std::collections::BTreeSet;

use jiff::civil::Date;
use tillvault::{
    demo::{
        schema,
        trade::{Clear, Scope, Trade, TradeOptions},
    },
    model::report::{RankBy, SoldGroup, TopSellers},
    report::{
        SourceChoice,
        answer::{AnsweredBy, Report, Rows},
        definition::ReportRequest,
        rank,
    },
};

use crate::{
    live::LiveTill,
    rig::{Rig, Server, Site},
};

fn requests(from: Date, to: Date, groups: &[SoldGroup]) -> Vec<TopSellers> {
    let mut categories: BTreeSet<String> = groups.iter().map(|group| group.category.clone()).collect();
    categories.insert("Never sold".into());
    let categories: Vec<String> = categories.into_iter().collect();
    let one = |by, limit, from, to| TopSellers {
        from,
        to,
        categories: categories.clone(),
        limit,
        excluded_groups: vec![],
        by,
    };
    vec![
        one(RankBy::Quantity, 1000, from, to),
        one(RankBy::Revenue, 1000, from, to),
        one(RankBy::Quantity, 3, from, to),
        one(RankBy::Revenue, 1000, from, from),
        one(RankBy::Quantity, 1000, to, to),
    ]
}

/// Asks one back end and compares with the books.
async fn check(rig: &Rig, till: &LiveTill, trade: &Trade, days: (Date, Date), choice: SourceChoice) -> Vec<Report> {
    let scope = if choice == SourceChoice::Live { Scope::Till } else { Scope::Everything };
    let mut reports = vec![];
    for request in requests(days.0, days.1, &trade.expected_sales(days.0, days.1, Scope::Everything)) {
        let books = trade.expected_sales(request.from, request.to, scope);
        let expected = Rows::TopSellers(rank::top_sellers(&books, &request).unwrap());
        let asked = ReportRequest::TopSellers(request);
        let report = rig.choose(&asked, choice, till.connection()).await.unwrap();
        assert_eq!(report.rows, expected, "{choice:?} {asked:?}");
        reports.push(report);
    }
    reports
}

fn pieces(report: &Report) -> i64 {
    let Rows::TopSellers(sellers) = &report.rows else { panic!("another report") };
    sellers.iter().flat_map(|seller| &seller.items).map(|item| item.qty).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_back_ends_agree_with_the_books_until_a_clear_and_the_replica_beyond() {
    let server = Server::start().await;
    let mut rig = server.replica("trade").await;
    let till = LiveTill::start().await;
    let tables = schema::tables().unwrap();
    let mut site = Site::over(till.engine.connection().unwrap(), tables);
    let first = Date::constant(2026, 3, 2);
    let options = TradeOptions { seed: 7, tickets_per_day: 40, first_day: first, uids: true };
    let mut trade = Trade::open(till.engine.connection().unwrap(), options).unwrap();
    for _ in 0..4 {
        trade.trade_day().unwrap();
    }
    let before = trade.day().yesterday().unwrap();
    site.load(&mut rig, &trade.day().to_string()).await;
    let replica = check(&rig, &till, &trade, (first, before), SourceChoice::Auto).await;
    let live = check(&rig, &till, &trade, (first, before), SourceChoice::Live).await;
    assert!(pieces(&replica[0]) > 200, "only {} pieces were sold", pieces(&replica[0]));
    for (replica, live) in replica.iter().zip(&live) {
        assert_eq!((replica.source, live.source), (AnsweredBy::Replica, AnsweredBy::Live));
        assert_eq!(replica.rows, live.rows);
    }
    let categories = rig.choose(&ReportRequest::Categories, SourceChoice::Replica, till.connection()).await.unwrap();
    assert_eq!(categories.rows, till.ask(&ReportRequest::Categories).await.rows);

    trade.clear(Clear::Reseed).unwrap();
    for _ in 0..2 {
        trade.trade_day().unwrap();
    }
    let last = trade.day().yesterday().unwrap();
    site.load(&mut rig, &trade.day().to_string()).await;
    let old = check(&rig, &till, &trade, (first, before), SourceChoice::Auto).await;
    for (old, as_it_was) in old.iter().zip(&replica) {
        assert_eq!(old.rows, as_it_was.rows, "a clear changes no old report");
    }
    let replica = check(&rig, &till, &trade, (first, last), SourceChoice::Auto).await;
    let live = check(&rig, &till, &trade, (first, last), SourceChoice::Live).await;
    assert!(pieces(&live[0]) > 0 && pieces(&live[0]) < pieces(&replica[0]), "the till has forgotten what was cleared");
    rig.close().await;
    server.stop().await;
}
