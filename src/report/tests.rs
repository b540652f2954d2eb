//! Which back end answers, and what is said about it.

use async_trait::async_trait;

use super::{definition::ReportName, *};
use crate::model::report::{RankBy, SoldGroup, TopSellers};

/// A till that knows one category and sold one item.
struct Till;

#[async_trait]
impl LiveReports for Till {
    async fn categories(&mut self) -> Result<Vec<String>> {
        Ok(vec!["Mains".into()])
    }

    async fn sold_groups(&mut self, request: &TopSellers) -> Result<Vec<SoldGroup>> {
        assert!(!request.categories.is_empty(), "a till is not asked about no category");
        Ok(vec![SoldGroup {
            category: "Mains".into(),
            item_name: "Fish Pie".into(),
            quantity: "3.02".parse().unwrap(),
            revenue: "49.66500".parse().unwrap(),
        }])
    }
}

fn backends<'a>(till: bool) -> Backends<'a> {
    Backends {
        replica: Err(Error::new(Kind::Replica, "the replica is off")),
        live: Box::pin(async move {
            if till {
                Ok(Box::new(Till) as Box<dyn LiveReports>)
            } else {
                Err(Error::new(Kind::Source, "the till is off").hint("switch it on").temporary())
            }
        }),
        now: "2026-03-03T10:00:00Z".parse().unwrap(),
    }
}

fn request(from: &str, to: &str, categories: &[&str]) -> ReportRequest {
    ReportRequest::TopSellers(TopSellers {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        categories: categories.iter().map(|name| (*name).to_owned()).collect(),
        limit: 10,
        excluded_groups: vec![],
        by: RankBy::Quantity,
    })
}

#[tokio::test]
async fn without_a_replica_the_till_answers_and_the_reason_is_given() {
    let report = run(&ReportRequest::Categories, SourceChoice::Auto, backends(true)).await.unwrap();
    assert_eq!((report.report, report.source, report.snapshot), (ReportName::Categories, AnsweredBy::Live, None));
    assert_eq!(report.as_of.to_string(), "2026-03-03T10:00:00Z");
    assert_eq!(report.warnings, ["the till answered, not the replica: the replica is off"]);
}

#[tokio::test]
async fn the_till_alone_needs_no_excuse() {
    let report =
        run(&request("2026-03-01", "2026-03-01", &["mains"]), SourceChoice::Live, backends(true)).await.unwrap();
    assert_eq!(report.warnings, [""; 0]);
    let rows = serde_json::to_string(&report.rows).unwrap();
    assert_eq!(rows, r#"[{"category":"mains","items":[{"item_name":"Fish Pie","qty":3,"revenue":"49.665"}]}]"#);
}

#[tokio::test]
async fn who_wants_the_replica_gets_no_other() {
    let error = run(&ReportRequest::Categories, SourceChoice::Replica, backends(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Replica, "the replica is off"));
}

#[tokio::test]
async fn when_nobody_answers_both_reasons_are_given() {
    let error = run(&ReportRequest::Categories, SourceChoice::Auto, backends(false)).await.unwrap_err();
    assert_eq!(error.message(), "the replica is off; nor can the till answer: the till is off");
    assert_eq!((error.kind(), error.is_temporary(), error.next_step()), (Kind::Source, true, Some("switch it on")));
}

#[tokio::test]
async fn no_categories_is_an_empty_answer_without_a_question() {
    let report = run(&request("2026-03-01", "2026-03-02", &[]), SourceChoice::Live, backends(true)).await.unwrap();
    assert_eq!(report.rows, Rows::TopSellers(vec![]));
}

#[tokio::test]
async fn days_in_the_wrong_order_are_refused() {
    let error =
        run(&request("2026-03-02", "2026-03-01", &["M"]), SourceChoice::Live, backends(true)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn a_range_beyond_the_snapshot_is_pointed_out() {
    let loaded = LoadedSnapshot {
        snapshot: 7,
        taken_at: "2026-03-03T03:00:00Z".parse().unwrap(),
        till_time: "2026-03-03T03:00:00".parse().unwrap(),
    };
    assert_eq!(late(&request("2026-03-01", "2026-03-02", &["M"]), &loaded), None);
    let warning = late(&request("2026-03-01", "2026-03-03", &["M"]), &loaded).unwrap();
    assert!(warning.contains("snapshot 7, taken at 2026-03-03 03:00"), "{warning}");
    assert_eq!(late(&ReportRequest::Categories, &loaded), None);
}
