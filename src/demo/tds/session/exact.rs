//! Rows of exact tables: bytes as they are. Of the faults, errors and stalls before the answer strike here, too.

use super::{Response, Session, Stop, query::pause};
use crate::demo::{
    engine::{SqlError, exact::Answer},
    fault::Fault,
    tds::{token, value},
};

impl Session {
    /// Sends the answer to a query over an exact table.
    pub(super) fn send_exact(&mut self, answer: &Answer, text: &str, response: &mut Response<'_>) -> Result<(), Stop> {
        self.shared.faults.note_statement(text);
        match self.shared.faults.at_query(std::slice::from_ref(&answer.table.table.name.name), text) {
            Some(Fault::Error(number, message)) => {
                return Err(SqlError::new(number, if number == 229 { 14 } else { 16 }, message).into());
            }
            Some(Fault::Stall(time)) => pause(time, response.cancel)?,
            _ => {}
        }
        let mut metadata = Vec::new();
        value::column_metadata(&mut metadata, &answer.columns, self.shared.collation)?;
        response.flush_done(true);
        response.out.body.extend_from_slice(&metadata);
        for at in &answer.rows {
            let cells = &answer.table.rows[*at];
            let values = answer.items.iter().map(|item| item.value(cells)).collect::<Result<Vec<_>, _>>()?;
            let before = response.out.body.len();
            if let Err(error) = value::exact_row(&mut response.out.body, &answer.columns, &values) {
                response.out.body.truncate(before);
                return Err(error.into());
            }
            response.out.pump()?;
            if response.cancel.stopped() {
                return Err(Stop::Attention);
            }
        }
        let rows = answer.rows.len() as u64;
        self.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut status = if self.settings.no_count { 0 } else { token::DONE_COUNT };
        if self.transaction.is_some() {
            status |= token::DONE_IN_TRANSACTION;
        }
        response.done(status, token::COMMAND_SELECT, rows);
        Ok(())
    }
}
