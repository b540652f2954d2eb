//! Answers as plain data, in the shape JSON shows them: `{report, source, as_of, snapshot, rows}`.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::definition::ReportName;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AnsweredBy {
    /// The replica.
    Replica,
    /// The till itself.
    Live,
}

/// An answered report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which report.
    pub report: ReportName,
    /// Who answered.
    pub source: AnsweredBy,
    /// The moment the figures were true: when the replica's newest snapshot was taken, or when the till was asked.
    pub as_of: Timestamp,
    /// The replica's newest snapshot; `None` from the till.
    pub snapshot: Option<u64>,
    /// The figures.
    pub rows: Rows,
    /// What a person should know about the figures. Not part of the JSON: warnings are events.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Rows of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Rows {
    /// Of `categories`.
    Categories(Vec<Category>),
    /// Of `top-sellers`: one entry per requested category, in the order of the request.
    TopSellers(Vec<CategorySellers>),
}

/// One kitchen course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Category {
    /// Rank by name, from 1. Not stable, not a key.
    pub id: usize,
    /// Name as in the tag, without blanks around it.
    pub name: String,
}

/// The best sellers of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategorySellers {
    /// The category in the request's spelling.
    pub category: String,
    /// At most as many as asked for, best first; empty when nothing was sold.
    pub items: Vec<SoldItem>,
}

/// One item of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SoldItem {
    /// Name at the time of sale.
    pub item_name: String,
    /// Pieces, cut (not rounded) to a whole number.
    pub qty: i64,
    /// Exact revenue. In JSON a string with at least two decimals.
    #[serde(serialize_with = "money")]
    pub revenue: Decimal,
}

/// At least two decimals, no needless zeros beyond: `72.00`, `49.665`.
#[must_use]
pub fn money_text(amount: Decimal) -> String {
    let mut amount = amount.normalize();
    if amount.scale() < 2 {
        amount.rescale(2);
    }
    amount.to_string()
}

fn money<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&money_text(*amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_shape_is_the_agreed_one() {
        let items = vec![SoldItem { item_name: "Fish Pie".into(), qty: 3, revenue: "49.66500".parse().unwrap() }];
        let report = Report {
            report: ReportName::TopSellers,
            source: AnsweredBy::Replica,
            as_of: "2026-03-03T02:00:00Z".parse().unwrap(),
            snapshot: Some(7),
            rows: Rows::TopSellers(vec![
                CategorySellers { category: "Mains".into(), items },
                CategorySellers { category: "Brunch".into(), items: vec![] },
            ]),
            warnings: vec!["not shown".into()],
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"report":"top-sellers","source":"replica","as_of":"2026-03-03T02:00:00Z","snapshot":7,"rows":[{"category":"Mains","items":[{"item_name":"Fish Pie","qty":3,"revenue":"49.665"}]},{"category":"Brunch","items":[]}]}"#
        );
        let live = Report {
            source: AnsweredBy::Live,
            report: ReportName::Categories,
            snapshot: None,
            rows: Rows::Categories(vec![Category { id: 1, name: "Mains".into() }]),
            ..report
        };
        assert_eq!(
            serde_json::to_string(&live).unwrap(),
            r#"{"report":"categories","source":"live","as_of":"2026-03-03T02:00:00Z","snapshot":null,"rows":[{"id":1,"name":"Mains"}]}"#
        );
    }

    #[test]
    fn money_has_two_decimals_or_as_many_as_it_needs() {
        for (amount, text) in
            [("72", "72.00"), ("49.66500", "49.665"), ("0", "0.00"), ("-6.5", "-6.50"), ("0.00001", "0.00001")]
        {
            assert_eq!(money_text(amount.parse().unwrap()), text);
        }
    }
}
