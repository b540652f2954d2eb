//! Answers that are ready, because the engine is frozen.

use super::{super::kept::Keeping, Response, Session, Stop};
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

    /// Keeps the answer to `plan` while the engine is frozen.
    pub(super) fn keeping(&self, plan: &Plan) -> Option<Keeping> {
        Some(Keeping::new(self.shared.engine.frozen()?.generation, plan))
    }

    /// Sends an answer that was kept. Its number of rows, or `None` when there is none such.
    pub(super) fn send_kept(&self, wanted: &Keeping, response: &mut Response<'_>) -> Result<Option<u64>, Stop> {
        let Some(kept) = self.shared.kept.get(wanted) else { return Ok(None) };
        self.shared.prepared.count();
        response.flush_done(true);
        let is_sent = response.out.send_bytes(&kept.bytes, response.cancel)?;
        if is_sent { Ok(Some(kept.rows)) } else { Err(Stop::Attention) }
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
