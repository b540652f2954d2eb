//! An engine whose data stands still, so that its answers can be kept.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The state of a frozen engine.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Frozen {
    /// Changes with every freezing.
    pub(in crate::demo) generation: u64,
    /// Tables that are served several times over.
    repeated: BTreeMap<String, u64>,
}

impl Frozen {
    /// How often the rows of a table are served.
    pub(in crate::demo) fn times(&self, table: &str) -> u64 {
        self.repeated.get(&table.to_lowercase()).copied().unwrap_or(1)
    }
}

/// Whether an engine is frozen.
#[derive(Debug, Default)]
pub(super) struct Frost {
    state: Mutex<(u64, Option<Frozen>)>,
}

impl Frost {
    pub(super) fn set(&self, repeated: &[(&str, u64)]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let repeated = repeated.iter().map(|(table, times)| (table.to_lowercase(), (*times).max(1))).collect();
        state.1 = Some(Frozen { generation: state.0, repeated });
    }

    pub(super) fn lift(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }

    pub(super) fn get(&self) -> Option<Frozen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}
