//! The till, read only.
//!
//! [`Source`] is what a run needs from a till: who it is, which tables it has, their rows as Arrow batches. The one real
//! implementation is [`sqlserver`]; nothing else in the crate writes T-SQL.
//!
//! Promises: a source never writes to the till, holds no lock beyond a page of rows, and never turns "could not read" into
//! "nothing there": a stream either ends after the server said that the result is complete, or yields an error.

pub mod pattern;
pub mod secrets;
pub mod sqlserver;

use std::{collections::BTreeMap, pin::Pin};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::Stream;

pub use crate::model::group_sum::GroupSum;
use crate::{
    error::Result,
    model::{
        report::{SoldGroup, TopSellers},
        table::{KeyRange, Table, TableName},
    },
    observe::Event,
};

/// Who the till is, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TillInfo {
    /// Server name, as `@@SERVERNAME` gives it.
    pub server: String,
    /// Database name.
    pub database: String,
    /// Product version, such as `14.0.1000.169`.
    pub version: String,
    /// Edition, such as `Express Edition (64-bit)`.
    pub edition: String,
    /// Database collation.
    pub collation: String,
    /// The till's wall clock.
    pub local_time: jiff::civil::DateTime,
    /// Whether the database allows snapshot isolation.
    pub snapshot_isolation: bool,
    /// Login name the server knows us by.
    pub login: String,
}

/// Which tables a run takes. Patterns know `*` and `?`, ignore case, and match `Name` or `schema.Name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSelection {
    /// Only tables that match one of these; empty means every base table of `dbo`.
    pub include: Vec<String>,
    /// Never these.
    pub exclude: Vec<String>,
    /// Take the secret columns of DOMAIN §11, too.
    pub with_secrets: bool,
}

/// What the till says of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has no such table, or does not show it to this login.
    Absent,
    /// It has the table with so many rows.
    Rows(u64),
}

/// A cheap token of the trade: when it is the same before and after reading, no ticket moved in between (DOMAIN §11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeMark(pub String);

/// The sums of a table, and what they are sums of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSums {
    /// The checksums, for people: `BINARY_CHECKSUM, MD5`.
    pub checksums: String,
    /// Names all that the sums depend on apart from the rows: sums are compared only where this is the same.
    pub form: String,
    /// The groups that have rows, ascending.
    pub groups: Vec<GroupSum>,
}

/// Answer to [`Source::sums`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sums {
    /// As asked.
    Table(TableSums),
    /// The till cannot compute them for this table; why, for people.
    Cannot(String),
}

/// Rows as they arrive, in key order; ends after the server's last row or with the first error.
pub type RowStream<'a> = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send + 'a>>;

/// A till that can be read.
#[async_trait]
pub trait Source: Send {
    /// Asks the till who it is.
    ///
    /// # Errors
    /// `Source` when the connection broke or the server refused.
    async fn describe(&mut self) -> Result<TillInfo>;

    /// Finds the base tables of the selection with columns, keys and foreign keys, sorted by name.
    ///
    /// # Errors
    /// `Source` when the catalog cannot be read; never an empty list in its place.
    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>>;

    /// What the last [`Source::tables`] gave a person to know: patterns that mean no table, columns and tables that cannot be
    /// taken as they are. Each is given once.
    fn notices(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Whether the till has this table, and how many rows, asked at the very moment that [`Source::read`] would read: inside
    /// the read transaction where there is one. For a table that the catalog does not show any more, or that is suddenly empty
    /// (DOMAIN §3.1). `None` when the source cannot tell.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn presence(&mut self, table: &TableName) -> Result<Option<Presence>> {
        let _ = table;
        Ok(None)
    }

    /// Rows of each table by the till's own book-keeping: good for a progress bar, not for a proof. Tables it cannot tell
    /// are absent.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn row_counts(&mut self) -> Result<BTreeMap<TableName, u64>> {
        Ok(BTreeMap::new())
    }

    /// Opens one read transaction over everything that follows, when the database allows snapshot isolation.
    /// Returns whether it did.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn begin(&mut self) -> Result<bool>;

    /// Ends what [`Source::begin`] opened; does nothing otherwise.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn end(&mut self) -> Result<()>;

    /// The present trade mark. Tills without a `Tickets` table have a constant one.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn trade_mark(&mut self) -> Result<TradeMark>;

    /// Finds out which checksums the till can compute. Good to call before [`Source::begin`]: a server may end a transaction
    /// over a function that it does not know.
    ///
    /// # Errors
    /// `Source`, as above.
    async fn prepare_sums(&mut self) -> Result<()> {
        Ok(())
    }

    /// Asks the till for checksums of a table's rows, by groups of `open` aligned keys, as of the moment that
    /// [`Source::read`] would read. The rows themselves stay there.
    ///
    /// # Errors
    /// `Source`, as above. That the server lacks a function, or takes too long, is no error but [`Sums::Cannot`]. The read
    /// transaction may be lost by either; reading tells.
    async fn sums(&mut self, table: &Table, open: u32) -> Result<Sums> {
        let _ = (table, open);
        Ok(Sums::Cannot("this source computes no checksums".into()))
    }

    /// Streams the rows of `table` whose leading key lies in `range`, in key order, as batches of
    /// [`Table::arrow_schema`]. A batch holds at most a few thousand rows.
    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a>;
}

/// The live reports (DOMAIN §9), asked of the till itself.
#[async_trait]
pub trait LiveReports: Send {
    /// Distinct kitchen courses of all menu items, raw, in no particular order (DOMAIN §9.3).
    ///
    /// # Errors
    /// `Source` when the till cannot answer.
    async fn categories(&mut self) -> Result<Vec<String>>;

    /// Sold lines grouped by category and item name (DOMAIN §9.2, §9.6), unranked.
    ///
    /// # Errors
    /// `Source` when the till cannot answer.
    async fn sold_groups(&mut self, request: &TopSellers) -> Result<Vec<SoldGroup>>;
}
