//! Rows through `mssql-tds`, three to five times as fast.
//!
//! The driver decodes each value straight into our column builders; text stays UTF-16 until it is in its place. Every one of
//! its futures runs inside [`contained`]. What it may not do: reconnect by itself (that would be another moment of the till),
//! ask SQL Browser, or check certificates by other rules than the settings'.

use std::{borrow::Cow, mem::MaybeUninit, time::Duration};

use arrow::array::RecordBatch;
use mssql_tds::{
    connection::{
        client_context::ClientContext,
        tds_client::{ResultSet as _, StatementResult, TdsClient},
    },
    connection_provider::tds_connection_provider::TdsConnectionProvider,
    core::{EncryptionOptions, EncryptionSetting},
    datatypes::{
        column_values::{
            SqlDate, SqlDateTime, SqlDateTime2, SqlDateTimeOffset, SqlMoney, SqlSmallDateTime, SqlSmallMoney, SqlTime,
            SqlXml,
        },
        decoder::DecimalParts,
        row_writer::{RowWriter, ValueKind},
        sql_json::SqlJson,
        sql_string::{EncodingType, SqlString},
        sql_vector::SqlVector,
        sqltypes::SqlType,
    },
    message::parameters::rpc_parameters::{RpcParameter, StatusFlags},
};
use secrecy::ExposeSecret as _;
use tiberius::Uuid;

use super::{Question, Stop, Value, contain::contained};
use crate::{
    config::TillConfig,
    error::{Error, Kind},
    source::sqlserver::{
        columns::BatchWriter,
        connect::{APPLICATION, Endpoint, PACKET_BYTES},
        fault::Fault,
        types::{Cell, ClockTime},
    },
};

/// Bytes of a value, at most. The driver makes room for what the length of a value says before the value comes, and a garbled
/// length may say 2 GB.
const LONGEST_VALUE: usize = 256 << 20;

/// A signed-in connection.
pub(in crate::source::sqlserver) struct FastClient {
    client: TdsClient,
    patience: Duration,
}

impl FastClient {
    /// Connects to where the control connection is, and signs in.
    ///
    /// # Errors
    /// [`Fault`].
    pub(in crate::source::sqlserver) async fn connect(config: &TillConfig, at: &Endpoint) -> Result<Self, Fault> {
        let (context, place) = context(config, at);
        let provider = TdsConnectionProvider::new();
        let sign_in = contained(config.connect_timeout, provider.create_client(context, &place, None));
        let client = tokio::time::timeout(config.connect_timeout, sign_in).await.unwrap_or(Err(Fault::TimedOut))?;
        Ok(Self { client, patience: config.statement_timeout })
    }

    /// See [`super::Connection::batch`].
    pub(super) async fn batch(&mut self, text: &str) -> Result<(), Fault> {
        let client = &mut self.client;
        contained(self.patience, async {
            let mut result = client.execute(text.to_owned(), ()).await?;
            while result != StatementResult::End {
                result = client.advance().await?;
            }
            client.close_query().await
        })
        .await
        .map_err(|fault| self.told(fault))
    }

    /// See [`super::Connection::rows`].
    pub(super) async fn rows<'a>(&'a mut self, question: &Question<'_>) -> Result<FastRows<'a>, Stop> {
        let writer = BatchWriter::new(question.columns)?;
        let client = &mut self.client;
        let sent = contained(self.patience, async {
            let mut result = if question.values.is_empty() {
                client.execute(question.text.to_owned(), ()).await?
            } else {
                client.execute_sp_executesql(question.text.to_owned(), parameters(question.values), ()).await?
            };
            while matches!(result, StatementResult::NoRows { .. }) {
                result = client.advance().await?;
            }
            Ok::<_, mssql_tds::error::Error>(result)
        });
        match sent.await {
            Ok(StatementResult::Rows) => {}
            Ok(_) => return Err(Fault::NotUnderstood("the answer has no columns".to_owned()).into()),
            Err(fault) => return Err(self.told(fault).into()),
        }
        let columns = self.client.get_metadata().len();
        let mut sink = Sink { writer, next: 0, columns, refusal: None, too_long: None };
        sink.refusal = sink.writer.expect_columns(columns).err();
        Ok(FastRows { client: self, sink, arrived: 0, ended: false })
    }

    /// A server's error after which the driver has given the connection up is a lost connection, too.
    fn told(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Server { number, message, .. } if self.client.is_connection_dead() => {
                Fault::Server { number, class: u8::MAX, message }
            }
            other => other,
        }
    }
}

/// The driver's settings, and the address in its own spelling.
fn context(config: &TillConfig, at: &Endpoint) -> (ClientContext, String) {
    // A name before the port would be looked up again; a colon before it would be taken for one of IPv6.
    let place = match at.address {
        std::net::SocketAddr::V4(address) => format!("tcp:{},{}", address.ip(), address.port()),
        std::net::SocketAddr::V6(address) => format!("{},{}", address.ip(), address.port()),
    };
    let seconds = u32::try_from(config.connect_timeout.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    let mut context = ClientContext::with_data_source(&place);
    APPLICATION.clone_into(&mut context.application_name);
    context.database.clone_from(&config.database);
    context.user_name.clone_from(&config.username);
    config.password.expose_secret().clone_into(&mut context.password);
    context.encryption_options = EncryptionOptions {
        mode: if at.encrypted { EncryptionSetting::Required } else { EncryptionSetting::PreferOff },
        trust_server_certificate: config.trust_server_certificate,
        host_name_in_cert: Some(at.host.clone()),
        server_certificate: None,
    };
    context.login_server_name = Some(at.host.clone());
    context.connect_retry_count = 0;
    context.connect_timeout = seconds;
    context.login_timeout = Some(seconds);
    context.multi_subnet_failover = Some(false);
    context.packet_size = PACKET_BYTES;
    context.language = String::new();
    (context, place)
}

fn parameters(values: &[Value]) -> Vec<RpcParameter> {
    let parameter = |(index, value): (usize, &Value)| {
        let value = match value {
            Value::TinyInt(v) => SqlType::TinyInt(Some(*v)),
            Value::SmallInt(v) => SqlType::SmallInt(Some(*v)),
            Value::Int(v) => SqlType::Int(Some(*v)),
            Value::BigInt(v) => SqlType::BigInt(Some(*v)),
            Value::Text(v) => SqlType::NVarcharMax(Some(SqlString::from_utf8_string(v.clone()))),
            Value::Midnight(days) => SqlType::DateTime(Some(SqlDateTime { days: *days, time: 0 })),
        };
        RpcParameter::new(Some(format!("@P{}", index + 1)), StatusFlags::NONE, value)
    };
    values.iter().enumerate().map(parameter).collect()
}

/// The rows of one statement.
pub(in crate::source::sqlserver) struct FastRows<'a> {
    client: &'a mut FastClient,
    sink: Sink,
    arrived: u64,
    ended: bool,
}

impl FastRows<'_> {
    /// See [`super::Rows::next`].
    pub(super) async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<RecordBatch>, Stop> {
        if !self.ended {
            let Self { client: FastClient { client, patience }, sink, arrived, .. } = self;
            let more = contained(*patience, async {
                while sink.refusal.is_none() && client.next_row_into(sink).await? {
                    *arrived += 1;
                    if sink.writer.rows() >= max_rows || sink.writer.bytes() >= max_bytes {
                        return Ok(true);
                    }
                }
                // What follows the rows can still be an error; after a refusal the rest is skipped.
                client.close_query().await?;
                Ok::<_, mssql_tds::error::Error>(false)
            });
            let more = more.await.map_err(|fault| match self.sink.too_long {
                Some(bytes) => Fault::NotUnderstood(format!(
                    "a value says that it has {bytes} bytes: reader = \"tiberius\" takes such ones, if it is true"
                )),
                None => self.client.told(fault),
            })?;
            if let Some(refusal) = self.sink.refusal.take() {
                return Err(refusal.into());
            }
            self.ended = !more;
        }
        if self.sink.writer.rows() == 0 {
            return Ok(None);
        }
        Ok(Some(self.sink.writer.take()?))
    }

    /// Rows that arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }
}

/// Where the driver puts values. A value that cannot be kept is remembered, not lost: whatever follows it is ignored, and
/// the reader ends with the refusal.
struct Sink {
    writer: BatchWriter,
    /// The column that comes next.
    next: usize,
    columns: usize,
    refusal: Option<Error>,
    /// The length of a value that was not waited for.
    too_long: Option<usize>,
}

impl Sink {
    #[inline]
    fn put(&mut self, column: usize, cell: Cell<'_>) {
        if self.refusal.is_some() {
            return;
        }
        if column != self.next {
            self.refuse("the values of a row came out of order");
            return;
        }
        self.next += 1;
        self.refusal = self.writer.put(column, cell).err();
    }

    #[cold]
    fn refuse(&mut self, what: &str) {
        let error = Error::new(Kind::Source, format!("the till's answer cannot be understood: {what}"));
        self.refusal.get_or_insert(error.hint("run it again, then report it"));
    }

    fn put_decimal(&mut self, column: usize, value: &DecimalParts) {
        match i128::try_from(value.magnitude()) {
            Ok(digits) => {
                self.put(column, Cell::Decimal(if value.is_positive { digits } else { -digits }, value.scale));
            }
            Err(_) => self.refuse("a decimal has too many digits"),
        }
    }

    /// A type that is never asked for in this form: `queries::select_item` has it cast.
    #[cold]
    fn unasked(&mut self, what: &str) {
        self.refuse(&format!("{what} came unasked"));
    }
}

/// The driver's field is called nanoseconds; it counts tenths of a microsecond, scaled up from the wire's own units.
fn clock(time: &SqlTime) -> ClockTime {
    let digits = 7_u8.saturating_sub(time.scale);
    ClockTime { units: time.time_nanoseconds / 10_u64.pow(u32::from(digits)), scale: time.scale }
}

impl RowWriter for Sink {
    fn write_null(&mut self, col: usize) {
        self.put(col, Cell::Null);
    }
    fn write_bool(&mut self, col: usize, val: bool) {
        self.put(col, Cell::Bit(val));
    }
    fn write_u8(&mut self, col: usize, val: u8) {
        self.put(col, Cell::Integer(i64::from(val)));
    }
    fn write_i16(&mut self, col: usize, val: i16) {
        self.put(col, Cell::Integer(i64::from(val)));
    }
    fn write_i32(&mut self, col: usize, val: i32) {
        self.put(col, Cell::Integer(i64::from(val)));
    }
    fn write_i64(&mut self, col: usize, val: i64) {
        self.put(col, Cell::Integer(val));
    }
    fn write_f32(&mut self, col: usize, val: f32) {
        self.put(col, Cell::Real(val));
    }
    fn write_f64(&mut self, col: usize, val: f64) {
        self.put(col, Cell::Float(val));
    }
    fn write_string(&mut self, col: usize, bytes: Cow<'_, [u8]>, encoding_type: EncodingType) {
        if encoding_type == EncodingType::Utf16 {
            return self.put(col, Cell::Utf16(&bytes));
        }
        match (encoding_type, std::str::from_utf8(&bytes)) {
            (EncodingType::Utf8, Ok(text)) => self.put(col, Cell::Text(text)),
            // Every code page has ASCII in common.
            (EncodingType::LcidBased(_), Ok(text)) if text.is_ascii() => self.put(col, Cell::Text(text)),
            _ => self.unasked("text of a code page"),
        }
    }
    fn write_bytes(&mut self, col: usize, bytes: Cow<'_, [u8]>) {
        self.put(col, Cell::Bytes(&bytes));
    }
    fn write_decimal(&mut self, col: usize, val: DecimalParts) {
        self.put_decimal(col, &val);
    }
    fn write_numeric(&mut self, col: usize, val: DecimalParts) {
        self.put_decimal(col, &val);
    }
    fn write_date(&mut self, col: usize, val: SqlDate) {
        self.put(col, Cell::Date(val.get_days()));
    }
    fn write_time(&mut self, col: usize, val: SqlTime) {
        self.put(col, Cell::Time(clock(&val)));
    }
    fn write_datetime(&mut self, col: usize, val: SqlDateTime) {
        self.put(col, Cell::DateTime(val.days, val.time));
    }
    fn write_smalldatetime(&mut self, col: usize, val: SqlSmallDateTime) {
        self.put(col, Cell::SmallDateTime(val.days, val.time));
    }
    fn write_datetime2(&mut self, col: usize, val: SqlDateTime2) {
        self.put(col, Cell::DateTime2(val.days, clock(&val.time)));
    }
    fn write_datetimeoffset(&mut self, col: usize, val: SqlDateTimeOffset) {
        self.put(col, Cell::DateTimeOffset(val.datetime2.days, clock(&val.datetime2.time), val.offset));
    }
    fn write_money(&mut self, _: usize, _: SqlMoney) {
        self.unasked("money");
    }
    fn write_smallmoney(&mut self, _: usize, _: SqlSmallMoney) {
        self.unasked("smallmoney");
    }
    fn write_uuid(&mut self, col: usize, val: Uuid) {
        self.put(col, Cell::Guid(val));
    }
    fn write_xml(&mut self, _: usize, _: SqlXml) {
        self.unasked("xml");
    }
    fn write_json(&mut self, _: usize, _: SqlJson) {
        self.unasked("json");
    }
    fn write_vector(&mut self, _: usize, _: SqlVector) {
        self.unasked("a vector");
    }
    /// Values come in memory of the driver's own, unless they are too long: room that is too small is the one way to tell the
    /// driver so, which makes the answer one it does not understand. It fails before it makes room itself.
    fn value_destination<'a>(
        &'a mut self,
        _: usize,
        _: ValueKind<'_>,
        length: usize,
    ) -> Option<&'a mut [MaybeUninit<u8>]> {
        if length <= LONGEST_VALUE {
            return None;
        }
        self.too_long = Some(length);
        self.refuse("a value is too long");
        Some(&mut [])
    }
    fn end_row(&mut self) {
        if self.refusal.is_none() && self.next != self.columns {
            self.refuse("a row has too few values");
        }
        self.next = 0;
        self.writer.end_row();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray as _;

    use super::*;
    use crate::model::{
        sql_type::SqlType as Declared,
        table::{Column, Table, TableName},
    };

    fn sink(columns: &[(&str, Declared)]) -> Sink {
        let column = |(name, sql_type): &(&str, Declared)| Column::new(*name, sql_type.clone());
        let table = Arc::new(Table::new(TableName::dbo("T"), columns.iter().map(column).collect()));
        let writer = BatchWriter::new(&table).unwrap();
        Sink { writer, next: 0, columns: columns.len(), refusal: None, too_long: None }
    }

    #[test]
    fn a_refusal_is_remembered_and_what_follows_is_ignored() {
        let mut sink = sink(&[("A", Declared::SmallInt), ("B", Declared::NVarChar { length: None })]);
        sink.write_i32(0, 70_000);
        sink.write_string(1, Cow::Borrowed(b"x\0"), EncodingType::Utf16);
        sink.end_row();
        sink.write_i32(0, 1);
        let refusal = sink.refusal.unwrap();
        assert_eq!(refusal.message(), "cannot keep a value of table T, column A (smallint)");
    }

    #[test]
    fn a_value_of_more_than_can_be_is_not_waited_for() {
        let mut sink = sink(&[("T", Declared::NVarChar { length: None })]);
        assert!(sink.value_destination(0, ValueKind::Bytes, LONGEST_VALUE).is_none() && sink.too_long.is_none());
        assert_eq!(sink.value_destination(0, ValueKind::Bytes, LONGEST_VALUE + 1).unwrap().len(), 0);
        assert_eq!(sink.too_long, Some(LONGEST_VALUE + 1));
        assert!(sink.refusal.is_some());
    }

    #[test]
    fn a_row_that_is_not_whole_is_refused() {
        let columns = [("A", Declared::Int), ("B", Declared::Int)];
        let mut short = sink(&columns);
        short.write_i32(0, 1);
        short.end_row();
        assert!(short.refusal.unwrap().message().contains("too few values"));
        let mut late = sink(&columns);
        late.write_i32(1, 1);
        assert!(late.refusal.unwrap().message().contains("out of order"));
    }

    #[test]
    fn decimals_and_times_come_in_the_wire_s_own_units() {
        let mut sink = sink(&[
            ("D", Declared::Decimal { precision: 16, scale: 2 }),
            ("T", Declared::Time { scale: 3 }),
            ("O", Declared::DateTimeOffset { scale: 0 }),
        ]);
        sink.write_decimal(0, DecimalParts::new(false, 16, 2, 1250));
        sink.write_time(1, SqlTime { time_nanoseconds: 12_340_000, scale: 3 });
        let utc = SqlDateTime2 { days: 0, time: SqlTime { time_nanoseconds: 36_000_000_000, scale: 0 } };
        sink.write_datetimeoffset(2, SqlDateTimeOffset { datetime2: utc, offset: 60 });
        sink.end_row();
        assert!(sink.refusal.is_none());
        let batch = sink.writer.take().unwrap();
        let decimals = batch.column(0).as_primitive::<arrow::datatypes::Decimal128Type>();
        assert_eq!(decimals.value(0), -1250);
        let times = batch.column(1).as_primitive::<arrow::datatypes::Time64MicrosecondType>();
        assert_eq!(times.value(0), 1_234_000);
        assert_eq!(batch.column(2).as_string::<i32>().value(0), "0001-01-01T02:00:00+01:00");
    }

    #[test]
    fn text_of_a_code_page_is_kept_only_where_all_agree() {
        let mut sink = sink(&[("T", Declared::NVarChar { length: None })]);
        let page = EncodingType::LcidBased(mssql_tds::token::tokens::SqlCollation::default());
        sink.write_string(0, Cow::Borrowed(b"plain"), page);
        sink.end_row();
        assert!(sink.refusal.is_none());
        sink.write_string(0, Cow::Borrowed(b"caf\xE9"), page);
        assert!(sink.refusal.unwrap().message().contains("code page"));
    }
}
