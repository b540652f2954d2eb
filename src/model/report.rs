//! Reports as plain data: what may be asked, what comes back. Semantics are DOMAIN §9; see `crate::report`.

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The measure top sellers are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankBy {
    /// Sum of the quantities, each rounded to two decimals.
    Quantity,
    /// Sum of price × quantity.
    Revenue,
}

/// What a top-sellers report is asked for (DOMAIN §9.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopSellers {
    /// First day, inclusive.
    pub from: Date,
    /// Last day, inclusive.
    pub to: Date,
    /// Requested categories (kitchen courses), in the order the answer keeps.
    pub categories: Vec<String>,
    /// Rows per category.
    pub limit: usize,
    /// Group codes whose items are dropped.
    pub excluded_groups: Vec<String>,
    /// What to rank by.
    pub by: RankBy,
}

/// Sold lines of one (category, item name), before ranking: what each back end must deliver (DOMAIN §9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldGroup {
    /// Kitchen course as stored.
    pub category: String,
    /// Name at the time of sale.
    pub item_name: String,
    /// Sum of the quantities, each rounded to two decimals half away from zero. Not yet truncated.
    pub quantity: Decimal,
    /// Sum of price × quantity, exact.
    pub revenue: Decimal,
}
