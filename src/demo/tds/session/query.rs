//! A query: the faults that strike it, an answer that is ready, or the rows as the embedded database gives them.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::{
    super::{
        kept::Keeping,
        packet::Cancel,
        token,
        value::{self, RowWriter},
    },
    Response, Session, Stop,
};
use crate::demo::{
    engine::{Frozen, Page, Plan, SqlError},
    fault::Fault,
};

impl Session {
    /// Runs a query and sends its rows.
    pub(super) fn query(
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
        let rows = self.send_rows(plan, fault.as_ref(), &mut keeping, response)?;
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

    /// Sends the columns and the rows of a query; the number of rows.
    fn send_rows(
        &self,
        plan: &Plan,
        fault: Option<&Fault>,
        keeping: &mut Option<Keeping>,
        response: &mut Response<'_>,
    ) -> Result<u64, Stop> {
        let failed = |error: &duckdb::Error| SqlError::of_engine(error);
        let mut statement = self.connection.prepare(&plan.sql).map_err(|error| failed(&error))?;
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
                strike(fault, rows, &mut writer, row, response)?;
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
        Ok(rows)
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
pub(super) fn pause(time: Duration, cancel: &Cancel) -> Result<(), Stop> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if cancel.stopped() {
            return Err(Stop::Attention);
        }
        std::thread::sleep(Duration::from_millis(5).min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
