//! The live reports (DOMAIN §9), asked of the till itself.
//!
//! The server filters, folds and sums, under its own collation, as the site's own queries do; ranking and labels are the
//! report's business. Sums stay exact decimals.

use async_trait::async_trait;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tiberius::{ColumnData, Row};

use super::{SqlServer, queries, rows::Value, session::text};
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    model::report::{SoldGroup, TopSellers},
    source::LiveReports,
};

/// The server takes 2,100 parameters; two are dates, and some are the driver's own.
const MOST_TEXTS: usize = 2000;

#[async_trait]
impl LiveReports for SqlServer {
    async fn categories(&mut self) -> Result<Vec<String>> {
        let rows = self.session.ask("ask the till for its categories", None, &queries::categories(), &[]).await?;
        Ok(rows.iter().filter_map(|row| text(row, "category")).collect())
    }

    async fn sold_groups(&mut self, request: &TopSellers) -> Result<Vec<SoldGroup>> {
        if request.categories.is_empty() {
            return Ok(Vec::new());
        }
        if request.categories.len() + request.excluded_groups.len() > MOST_TEXTS {
            return Err(Error::new(Kind::Usage, format!("more than {MOST_TEXTS} categories and groups in one report"))
                .hint("ask for fewer categories"));
        }
        let mut values = vec![midnight(request.from), midnight(request.to.saturating_add(jiff::Span::new().days(1)))];
        let texts = request.categories.iter().chain(&request.excluded_groups);
        values.extend(texts.map(|text| Value::Text(text.clone())));
        let statement = queries::sold_groups(request.categories.len(), request.excluded_groups.len());
        let rows = self.session.ask("ask the till for its sales", None, &statement, &values).await?;
        rows.iter().map(sold_group).collect()
    }
}

fn sold_group(row: &Row) -> Result<SoldGroup> {
    Ok(SoldGroup {
        category: text(row, "category").unwrap_or_default(),
        item_name: text(row, "item_name").unwrap_or_default(),
        quantity: decimal(row, "quantity")?,
        revenue: decimal(row, "revenue")?,
    })
}

/// A sum; that of no value is 0 (DOMAIN §9.2).
fn decimal(row: &Row, column: &str) -> Result<Decimal> {
    match row.get_column_data(column) {
        Ok(ColumnData::Numeric(Some(value))) => {
            Decimal::try_from_i128_with_scale(value.value(), u32::from(value.scale()))
                .or_fail(Kind::Source, || format!("the till's {column} is too large for a report"))
        }
        Ok(ColumnData::Numeric(None)) => Ok(Decimal::ZERO),
        _ => Err(Error::new(Kind::Source, format!("the till did not answer with a decimal for {column}"))
            .hint("prices or quantities have an unexpected type on this till")),
    }
}

/// Midnight of a day as a `datetime`, which begins in 1753: nothing on a till is older.
fn midnight(day: Date) -> Value {
    let earliest = jiff::civil::date(1753, 1, 1);
    let days = (day.max(earliest) - jiff::civil::date(1900, 1, 1)).get_days();
    Value::Midnight(days)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_count_from_1900() {
        assert_eq!(midnight(date(1900, 1, 2)), Value::Midnight(1));
        assert_eq!(midnight(date(2026, 3, 1)), Value::Midnight(46_080));
        assert_eq!(midnight(date(1066, 10, 14)), Value::Midnight(-53_690));
    }
}
