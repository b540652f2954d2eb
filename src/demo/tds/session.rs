//! One client's session: its settings and transaction, its database connection, and the requests it makes.

mod exact;
mod procedure;
mod query;
mod ready;
mod transaction;

use std::{collections::HashMap, sync::Arc};

use duckdb::{Connection, InterruptHandle};

use super::{
    packet::{Cancel, Gone, Message, Outgoing, RPC, SQL_BATCH, TRANSACTION_MANAGER},
    rpc,
    server::Shared,
    token::{self, Done, EnvChange},
};
use crate::{
    demo::engine::{self, Context, Page, Parameter, Plan, SqlError, batch::Statement},
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
