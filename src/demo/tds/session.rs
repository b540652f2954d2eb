//! One client's session: its settings and transaction, its database connection, and the requests it makes.

mod exact;
mod procedure;
mod ready;
mod transaction;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use duckdb::{Connection, InterruptHandle};

use super::{
    packet::{Cancel, Gone, Message, Outgoing, RPC, SQL_BATCH, TRANSACTION_MANAGER},
    rpc,
    server::Shared,
    token::{self, Done, EnvChange},
    value::{self, RowWriter},
};
use crate::{
    demo::{
        engine::{self, Context, Frozen, Page, Parameter, Plan, SqlError, batch::Statement},
        fault::Fault,
    },
    error::{Error, Result},
};

/// A message to answer.
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) out: Outgoing,
    pub(super) cancel: Cancel,
}

/// Why the work on a request ends early.
enum Stop {
    Gone,
    /// The client asked to stop.
    Attention,
    Error(SqlError),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Stop::Error(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::Gone
    }
}

/// Settings a client may change.
#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    snapshot: bool,
    no_count: bool,
    abort_on_error: bool,
}

pub(super) struct Session {
    shared: Arc<Shared>,
    connection: Connection,
    settings: Settings,
    /// Descriptor of the open transaction.
    transaction: Option<u64>,
    /// How often BEGIN was said in it.
    depth: i64,
    /// Whether the database connection has a transaction open, too: under snapshot isolation only. Under READ COMMITTED
    /// each statement sees what is committed when it runs.
    frozen: bool,
    next_transaction: u64,
    prepared: HashMap<i32, (String, Vec<String>)>,
    next_handle: i32,
    row_count: i64,
}

/// A response being written: where DONE tokens go and what comes before the next.
struct Response<'a> {
    out: &'a mut Outgoing,
    cancel: &'a Cancel,
    in_procedure: bool,
    /// Status, command and rows of the last statement; written when it is known whether another follows.
    pending: Option<(u16, u16, u64)>,
}

impl Response<'_> {
    fn done(&mut self, status: u16, command: u16, rows: u64) {
        self.flush_done(true);
        self.pending = Some((status, command, rows));
    }

    fn flush_done(&mut self, more: bool) {
        if let Some((status, command, rows)) = self.pending.take() {
            let (kind, more) = if self.in_procedure { (Done::InProcedure, true) } else { (Done::Batch, more) };
            let status = status | if more { token::DONE_MORE } else { 0 };
            token::done(&mut self.out.body, kind, status, command, rows);
        }
    }
}

impl Session {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, Error> {
        Ok(Self {
            connection: shared.engine.reading_connection()?,
            shared: Arc::clone(shared),
            settings: Settings::default(),
            transaction: None,
            depth: 0,
            frozen: false,
            next_transaction: 1,
            prepared: HashMap::new(),
            next_handle: 1,
            row_count: 0,
        })
    }

    pub(super) fn interrupt_handle(&self) -> Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    /// Answers one request.
    pub(super) fn serve(&mut self, request: Request) {
        let Request { message, mut out, cancel } = request;
        if message.reset {
            self.reset(&mut out);
        }
        let in_procedure = message.kind == RPC;
        let mut response = Response { out: &mut out, cancel: &cancel, in_procedure, pending: None };
        let outcome = match message.kind {
            SQL_BATCH => rpc::batch_text(&message.payload)
                .map_err(Stop::from)
                .and_then(|text| self.run(&text, &[], &mut response)),
            RPC => rpc::calls(&message.payload, self.shared.collation)
                .map_err(Stop::from)
                .and_then(|calls| self.call_all(&calls, &mut response)),
            TRANSACTION_MANAGER => rpc::transaction_request(&message.payload)
                .and_then(|request| self.manage(request, &mut response))
                .map_err(Stop::from),
            other => Err(SqlError::unsupported(format!("requests of type {other}")).into()),
        };
        let attention_noted = match outcome {
            Err(Stop::Gone) => return,
            Ok(()) => {
                response.flush_done(false);
                false
            }
            Err(Stop::Attention) => {
                response.flush_done(true);
                if self.settings.abort_on_error {
                    self.end_transaction(false, response.out);
                }
                token::done(&mut out.body, Done::Batch, token::DONE_ATTENTION, 0, 0);
                true
            }
            Err(Stop::Error(error)) => {
                self.report(&error, &mut response);
                if error.class >= 20 {
                    // So bad that the connection ends with it.
                    let Gone = out.cut();
                    return;
                }
                false
            }
        };
        // The client may have left; then nobody is there to be told.
        let _ = out.finish(attention_noted);
    }

    fn report(&mut self, error: &SqlError, response: &mut Response<'_>) {
        response.flush_done(true);
        token::error(&mut response.out.body, error, &self.shared.engine.options().server_name);
        // DuckDB gives a transaction up after some errors, and its state cannot be had again.
        let lost = self.frozen && self.connection.execute_batch("SELECT 1").is_err();
        if lost || self.settings.abort_on_error || error.number == 1205 {
            self.end_transaction(false, response.out);
        }
        let out = &mut response.out.body;
        if response.in_procedure {
            token::return_status(out, error.number);
            token::done(out, Done::Procedure, token::DONE_ERROR, 0, 0);
        } else {
            token::done(out, Done::Batch, token::DONE_ERROR, 0, 0);
        }
    }

    fn reset(&mut self, out: &mut Outgoing) {
        self.end_transaction(false, out);
        self.settings = Settings::default();
        token::env_change(&mut out.body, EnvChange::Reset);
    }

    /// Runs a batch or the text of a procedure call.
    fn run(&mut self, text: &str, parameters: &[Parameter], response: &mut Response<'_>) -> Result<(), Stop> {
        let statements = engine::batch::parse(text)?;
        if statements.is_empty() {
            response.done(0, 0, 0);
        }
        self.run_all(&statements, text, parameters, response)
    }

    fn run_all(
        &mut self,
        statements: &[Statement],
        text: &str,
        parameters: &[Parameter],
        response: &mut Response<'_>,
    ) -> Result<(), Stop> {
        for statement in statements {
            if response.cancel.stopped() {
                return Err(Stop::Attention);
            }
            match statement {
                Statement::Query(query) => {
                    if let Some(answer) = engine::exact::answer(query, &self.context(parameters))? {
                        self.send_exact(&answer, text, response)?;
                        continue;
                    }
                    let plan = engine::translate(query, &self.context(parameters))?;
                    let frozen = self.shared.engine.frozen();
                    let ready =
                        frozen.and_then(|frozen| Some((frozen, Page::recognise(query, &self.context(parameters))?)));
                    self.query(&plan, ready.as_ref(), text, response)?;
                }
                Statement::If { condition, then, otherwise } => {
                    let plan = engine::translate(condition, &self.context(parameters))?;
                    let branch = if self.holds(&plan)? { then } else { otherwise };
                    self.run_all(branch, text, parameters, response)?;
                }
                Statement::Set(words) => {
                    self.may_fail(text)?;
                    self.set(words)?;
                    response.done(0, 0, 0);
                }
                Statement::Begin => {
                    self.may_fail(text)?;
                    response.flush_done(true);
                    self.begin(response.out);
                    response.done(0, 0, 0);
                }
                Statement::Commit | Statement::Rollback => {
                    self.may_fail(text)?;
                    response.flush_done(true);
                    self.finish_transaction(matches!(statement, Statement::Commit), response.out)?;
                    response.done(0, 0, 0);
                }
                Statement::Use(database) => {
                    self.use_database(database, response)?;
                    response.done(0, 0, 0);
                }
            }
        }
        Ok(())
    }

    /// The error that is armed for a statement that reads nothing.
    fn may_fail(&self, text: &str) -> Result<(), SqlError> {
        match self.shared.faults.at_statement(text) {
            Some((number, message)) => Err(SqlError::new(number, 16, message)),
            None => Ok(()),
        }
    }

    fn context<'a>(&'a self, parameters: &'a [Parameter]) -> Context<'a> {
        Context {
            engine: &self.shared.engine,
            parameters,
            login: &self.shared.options.user,
            transactions: self.depth,
            row_count: self.row_count,
        }
    }

    /// Whether a condition made into a query holds.
    fn holds(&self, plan: &Plan) -> Result<bool, SqlError> {
        let mut statement = self.connection.prepare(&plan.sql).map_err(|error| SqlError::of_engine(&error))?;
        statement.exists([]).map_err(|error| SqlError::of_engine(&error))
    }

    fn use_database(&self, database: &str, response: &mut Response<'_>) -> Result<(), SqlError> {
        let options = self.shared.engine.options();
        if !database.eq_ignore_ascii_case(&options.database) {
            let text = format!("Database '{database}' does not exist. Make sure that the name is entered correctly.");
            return Err(SqlError::new(911, 16, text));
        }
        response.flush_done(true);
        let name = options.database.as_str();
        token::env_change(&mut response.out.body, EnvChange::Database { new: name, old: name });
        let changed = format!("Changed database context to '{name}'.");
        token::info(&mut response.out.body, 5701, &changed, &options.server_name);
        Ok(())
    }

    /// `SET …`. Options that change nothing a reader could see are taken note of by being accepted.
    fn set(&mut self, words: &[String]) -> Result<(), SqlError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["TRANSACTION", "ISOLATION", "LEVEL", level @ ..] => match level {
                ["SNAPSHOT"] => self.settings.snapshot = true,
                ["READ", "COMMITTED" | "UNCOMMITTED"] => self.settings.snapshot = false,
                ["REPEATABLE", "READ"] | ["SERIALIZABLE"] => {
                    return Err(SqlError::unsupported("isolation levels that hold locks"));
                }
                _ => return Err(SqlError::syntax(level.first().unwrap_or(&"LEVEL"))),
            },
            ["NOCOUNT", value] => self.settings.no_count = *value == "ON",
            ["XACT_ABORT", value] => self.settings.abort_on_error = *value == "ON",
            ["ROWCOUNT", value] if *value != "0" => return Err(SqlError::unsupported("SET ROWCOUNT")),
            ["ANSI_NULLS" | "CONCAT_NULL_YIELDS_NULL" | "ANSI_WARNINGS" | "QUOTED_IDENTIFIER", "OFF"] => {
                return Err(SqlError::unsupported(format!("SET {} OFF", words[0])));
            }
            ["IMPLICIT_TRANSACTIONS", "ON"] => return Err(SqlError::unsupported("SET IMPLICIT_TRANSACTIONS ON")),
            [option, _, ..] if ACCEPTED.contains(option) || words.contains(&",") => {}
            [option, ..] => return Err(SqlError::unsupported(format!("SET {option}"))),
            [] => return Err(SqlError::syntax("SET")),
        }
        Ok(())
    }

    /// Runs a query and sends its rows.
    fn query(
        &mut self,
        plan: &Plan,
        ready: Option<&(Frozen, Page)>,
        text: &str,
        response: &mut Response<'_>,
    ) -> Result<(), Stop> {
        self.shared.faults.note_statement(text);
        let reads_data = !plan.tables.is_empty();
        if reads_data {
            self.enter_snapshot(plan)?;
        }
        let fault = self.shared.faults.at_query(&plan.tables, text);
        match &fault {
            Some(Fault::Error(number, message)) => {
                return Err(SqlError::new(*number, if *number == 229 { 14 } else { 16 }, message).into());
            }
            Some(Fault::Fatal(number, message)) => return Err(SqlError::new(*number, 21, message).into()),
            Some(Fault::Stall(time)) => pause(*time, response.cancel)?,
            _ => {}
        }
        if let (None, Some((frozen, page))) = (&fault, ready)
            && let Some(rows) = self.send_prepared(frozen, page, response)?
        {
            self.counted(rows, response);
            return Ok(());
        }
        self.refuse_repeated(plan)?;
        let mut keeping = if fault.is_none() { self.keeping(plan) } else { None };
        if let Some(wanted) = &keeping
            && let Some(rows) = self.send_kept(wanted, response)?
        {
            self.counted(rows, response);
            return Ok(());
        }
        let connection = &self.connection;
        let failed = |error: &duckdb::Error| SqlError::of_engine(error);
        let mut statement = connection.prepare(&plan.sql).map_err(|error| failed(&error))?;
        if let Err(error) = statement.stream_arrow([]).map(drop) {
            return Err(if response.cancel.stopped() { Stop::Attention } else { failed(&error).into() });
        }
        // A token is whole or absent: an error may come after it, never inside.
        let mut metadata = Vec::new();
        value::column_metadata(&mut metadata, &plan.columns, self.shared.collation)?;
        response.flush_done(true);
        response.out.body.extend_from_slice(&metadata);
        let mut keep = |tokens: &[u8]| keeping.iter_mut().for_each(|keeping| keeping.put(tokens));
        keep(&metadata);
        let mut rows = 0u64;
        loop {
            let batch = match statement.step() {
                Ok(Some(batch)) => RecordBatch::from(batch),
                Ok(None) => break,
                Err(_) if response.cancel.stopped() => return Err(Stop::Attention),
                Err(error) => return Err(failed(&error).into()),
            };
            let mut writer = RowWriter::new(&batch, &plan.columns, self.shared.collation)?;
            for row in 0..batch.num_rows() {
                strike(fault.as_ref(), rows, &mut writer, row, response)?;
                let before = response.out.body.len();
                if let Err(error) = writer.row(&mut response.out.body, row) {
                    response.out.body.truncate(before);
                    return Err(error.into());
                }
                keep(&response.out.body[before..]);
                rows += 1;
                if rows.is_multiple_of(64) {
                    response.out.pump()?;
                    if response.cancel.stopped() {
                        return Err(Stop::Attention);
                    }
                }
            }
        }
        match fault {
            // The result had fewer rows than the fault waits for: it strikes before the end is told.
            Some(Fault::DropAfter(_) | Fault::DropInside(_)) => return Err(response.out.cut().into()),
            Some(Fault::ErrorAfter(_, number, message)) => return Err(SqlError::new(number, 16, message).into()),
            _ => {}
        }
        if let Some(keeping) = keeping {
            self.shared.kept.keep(keeping, rows);
        }
        self.counted(rows, response);
        Ok(())
    }

    /// Ends a query's rows.
    fn counted(&mut self, rows: u64, response: &mut Response<'_>) {
        self.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut status = if self.settings.no_count { 0 } else { token::DONE_COUNT };
        if self.transaction.is_some() {
            status |= token::DONE_IN_TRANSACTION;
        }
        response.done(status, token::COMMAND_SELECT, rows);
    }
}

/// `SET` options that change nothing in what a reader gets here.
const ACCEPTED: [&str; 22] = [
    "LOCK_TIMEOUT",
    "DEADLOCK_PRIORITY",
    "TEXTSIZE",
    "ROWCOUNT",
    "LANGUAGE",
    "DATEFORMAT",
    "DATEFIRST",
    "ANSI_NULLS",
    "ANSI_PADDING",
    "ANSI_WARNINGS",
    "ANSI_DEFAULTS",
    "ANSI_NULL_DFLT_ON",
    "ARITHABORT",
    "ARITHIGNORE",
    "CONCAT_NULL_YIELDS_NULL",
    "QUOTED_IDENTIFIER",
    "CURSOR_CLOSE_ON_COMMIT",
    "IMPLICIT_TRANSACTIONS",
    "NUMERIC_ROUNDABORT",
    "CONTEXT_INFO",
    "STATISTICS",
    "QUERY_GOVERNOR_COST_LIMIT",
];

/// Lets a fault strike before row `rows` is sent.
fn strike(
    fault: Option<&Fault>,
    rows: u64,
    writer: &mut RowWriter<'_>,
    row: usize,
    response: &mut Response<'_>,
) -> Result<(), Stop> {
    match fault {
        Some(Fault::DropAfter(after)) if *after == rows => Err(response.out.cut().into()),
        Some(Fault::DropInside(after)) if *after == rows => {
            let before = response.out.body.len();
            writer.row(&mut response.out.body, row)?;
            let half = before + (response.out.body.len() - before).div_ceil(2);
            response.out.body.truncate(half);
            Err(response.out.cut().into())
        }
        Some(Fault::ErrorAfter(after, number, message)) if *after == rows => {
            Err(SqlError::new(*number, 16, message).into())
        }
        Some(Fault::StallAfter(after, time)) if *after == rows => {
            response.out.flush_open()?;
            pause(*time, response.cancel)
        }
        _ => Ok(()),
    }
}

/// Waits, but not longer than the client does.
fn pause(time: Duration, cancel: &Cancel) -> Result<(), Stop> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if cancel.stopped() {
            return Err(Stop::Attention);
        }
        std::thread::sleep(Duration::from_millis(5).min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
