//! The live back end: asks the till through [`LiveReports`], ranks as for the replica.

use super::{answer::Rows, definition::ReportRequest, rank};
use crate::{error::Result, source::LiveReports};

/// The rows of a report, from the till. A request without categories asks nothing (DOMAIN §9.6).
///
/// # Errors
/// What the till says, and `Query` when a sum does not fit.
pub async fn rows(request: &ReportRequest, till: &mut dyn LiveReports) -> Result<Rows> {
    Ok(match request {
        ReportRequest::Categories => Rows::Categories(rank::categories(till.categories().await?)),
        ReportRequest::TopSellers(request) if request.categories.is_empty() => Rows::TopSellers(Vec::new()),
        ReportRequest::TopSellers(request) => {
            Rows::TopSellers(rank::top_sellers(&till.sold_groups(request).await?, request)?)
        }
    })
}
