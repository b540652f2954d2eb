//! Answers that were computed once and are kept, because the engine is frozen: checksums above all, which take the embedded
//! database seconds for a million rows, and the catalog.
//!
//! Reads of rows in key order are not here: `prepared` has them, for every range at once. What is kept is the bytes that the
//! ordinary way made, filed under the statement that the embedded database was given, which holds every value it depends on:
//! parameters, the clock, the login. Answers that are long, and more of them than any client asks for, are not kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::demo::engine::Plan;

/// Bytes of an answer, at most.
const MOST_BYTES: usize = 4 << 20;
/// Answers, at most.
const MOST_ANSWERS: usize = 1024;

/// An answer from its columns to its last row.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
}

/// An answer under way that will be kept, unless it turns out to be long.
#[derive(Debug)]
pub(super) struct Keeping {
    generation: u64,
    key: String,
    bytes: Option<Vec<u8>>,
}

impl Keeping {
    /// For the answer to `plan` of an engine in this `generation` of freezing.
    pub(super) fn new(generation: u64, plan: &Plan) -> Self {
        // The names of columns are not in the statement.
        Self { generation, key: format!("{}\0{:?}", plan.sql, plan.columns), bytes: Some(Vec::new()) }
    }

    /// More of it.
    pub(super) fn put(&mut self, tokens: &[u8]) {
        match &mut self.bytes {
            Some(bytes) if bytes.len() + tokens.len() <= MOST_BYTES => bytes.extend_from_slice(tokens),
            _ => self.bytes = None,
        }
    }
}

/// The answers kept since the engine was frozen.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<(u64, HashMap<String, Arc<Kept>>)>);

impl Answers {
    /// The whole answer, if it is kept.
    pub(super) fn get(&self, wanted: &Keeping) -> Option<Arc<Kept>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 == wanted.generation { kept.1.get(&wanted.key).cloned() } else { None }
    }

    /// Keeps an answer that is whole. Those of an earlier freezing go.
    pub(super) fn keep(&self, whole: Keeping, rows: u64) {
        let Some(bytes) = whole.bytes else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 < whole.generation {
            *kept = (whole.generation, HashMap::new());
        }
        if kept.0 == whole.generation && kept.1.len() < MOST_ANSWERS {
            kept.1.insert(whole.key, Arc::new(Kept { bytes, rows }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(generation: u64, sql: &str) -> Keeping {
        let plan = Plan { sql: sql.into(), columns: Vec::new(), tables: Vec::new() };
        Keeping::new(generation, &plan)
    }

    #[test]
    fn an_answer_is_kept_until_the_next_freezing() {
        let answers = Answers::default();
        let mut one = keeping(1, "a");
        one.put(&[1, 2]);
        answers.keep(one, 5);
        let kept = answers.get(&keeping(1, "a")).unwrap();
        assert_eq!((kept.bytes.as_slice(), kept.rows), (&[1, 2][..], 5));
        assert!(answers.get(&keeping(1, "b")).is_none() && answers.get(&keeping(2, "a")).is_none());
        answers.keep(keeping(2, "b"), 0);
        assert!(answers.get(&keeping(1, "a")).is_none() && answers.get(&keeping(2, "a")).is_none());
        // A straggler from before the second freezing.
        answers.keep(keeping(1, "a"), 5);
        assert!(answers.get(&keeping(1, "a")).is_none() && answers.get(&keeping(2, "b")).is_some());
    }

    #[test]
    fn neither_long_answers_nor_any_number_of_them_are_kept() {
        let answers = Answers::default();
        let mut long = keeping(1, "long");
        long.put(&vec![0; MOST_BYTES]);
        long.put(&[0]);
        long.put(&[0]);
        answers.keep(long, 1);
        assert!(answers.get(&keeping(1, "long")).is_none());
        for number in 0..=MOST_ANSWERS {
            answers.keep(keeping(1, &number.to_string()), 0);
        }
        assert!(answers.get(&keeping(1, "0")).is_some());
        assert!(answers.get(&keeping(1, &MOST_ANSWERS.to_string())).is_none());
    }
}
