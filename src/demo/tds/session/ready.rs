//! Answers that are ready, because the engine is frozen.

use super::{Response, Session, Stop};
use crate::demo::engine::{self, Frozen, Page, Plan, SqlError};

impl Session {
    /// Sends rows that are ready. Their number, or `None` when there are none such.
    pub(super) fn send_prepared(
        &self,
        frozen: &Frozen,
        page: &Page,
        response: &mut Response<'_>,
    ) -> Result<Option<u64>, Stop> {
        let whole = || engine::translate(&page.whole, &self.context(&[]));
        let collation = self.shared.collation;
        let Some(prepared) = self.shared.prepared.get(frozen, page, whole, &self.connection, collation)? else {
            return Ok(None);
        };
        self.shared.prepared.count();
        response.flush_done(true);
        prepared.send(page, response.out, response.cancel)?.map(Some).ok_or(Stop::Attention)
    }

    /// The rows of a table that is served several times over exist as prepared answers only.
    pub(super) fn refuse_repeated(&self, plan: &Plan) -> Result<(), SqlError> {
        let Some(frozen) = self.shared.engine.frozen() else { return Ok(()) };
        match plan.tables.iter().find(|table| frozen.times(table) > 1) {
            Some(table) => Err(SqlError::unsupported(format!("this statement on {table}, whose rows are repeated"))),
            None => Ok(()),
        }
    }
}
