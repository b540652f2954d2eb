//! Random tables through random nights: `diff` and `find` say what a plain model says.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tillvault::{
    archive::snapshot::Snapshot,
    observe::silent,
    ops::{
        diff::{DiffOptions, diff},
        find::{FindOptions, find},
    },
};

use crate::book::{Book, rows, table};

/// A state of the table: key → the two other values.
type State = BTreeMap<i32, (Option<String>, i32)>;

fn mutate(state: &mut State, random: &mut ChaCha8Rng) {
    let highest = state.keys().next_back().copied().unwrap_or(0);
    for _ in 0..random.random_range(0..40) {
        let key = if random.random_bool(0.5) {
            highest + random.random_range(0..700)
        } else {
            random.random_range(-900..highest + 1)
        };
        let name = random.random_bool(0.9).then(|| format!("n{}", random.random_range(0..6)));
        match random.random_range(0..4) {
            0 => {
                state.remove(&key);
            }
            _ => {
                state.insert(key, (name, random.random_range(0..3)));
            }
        }
    }
    if random.random_bool(0.1) {
        state.clear();
    }
}

async fn take(book: &Book, state: &State, integer_key: bool) -> Snapshot {
    let table = table("T", &[if integer_key { "K int" } else { "K nvarchar(9)" }, "Name nvarchar(9)", "N int"], 1);
    let name = |name: &Option<String>| name.clone().unwrap_or("-".into());
    let lines: Vec<String> = state.iter().map(|(key, (text, n))| format!("{key}|{}|{n}", name(text))).collect();
    let rows = rows(&table, lines);
    book.take(&[(table, rows)]).await
}

#[tokio::test]
async fn diff_and_find_agree_with_a_model() {
    for seed in 0..4 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let integer_key = seed % 2 == 0;
        let book = Book::new();
        let mut state: State = (1..=random.random_range(0..4_500)).map(|key| (key, (Some("n1".into()), 0))).collect();
        let (mut states, mut snapshots) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            snapshots.push(take(&book, &state, integer_key).await);
            states.push(state.clone());
            mutate(&mut state, &mut random);
        }
        for (a, old) in states.iter().enumerate() {
            for (b, new) in states.iter().enumerate() {
                let outcome =
                    diff(&book.archive, &snapshots[a], &snapshots[b], &DiffOptions::default(), &silent()).unwrap();
                let told =
                    outcome.tables.first().map_or((0, 0, 0), |table| (table.added, table.changed, table.removed));
                let added = new.keys().filter(|key| !old.contains_key(key)).count() as u64;
                let removed = old.keys().filter(|key| !new.contains_key(key)).count() as u64;
                let changed =
                    new.iter().filter(|(key, row)| old.get(key).is_some_and(|old| old != *row)).count() as u64;
                assert_eq!(told, (added, changed, removed), "seed {seed}, {a} to {b}");
            }
        }
        let wanted = format!("n{}", random.random_range(0..6));
        let options =
            FindOptions { table: "T".into(), column: "Name".into(), value: wanted.clone(), ..FindOptions::default() };
        let outcome = find(&book.archive, &options, &silent()).unwrap();
        let mut told = BTreeSet::new();
        for version in &outcome.versions {
            let key = version.row["K"].to_string().replace('"', "").parse::<i32>().unwrap();
            for one in &version.stood {
                told.extend((one.from..=one.to).map(|number| (number, key, version.row["N"].as_i64().unwrap())));
            }
        }
        let mut expected = BTreeSet::new();
        for (snapshot, state) in snapshots.iter().zip(&states) {
            let having = state.iter().filter(|(_, (name, _))| name.as_ref() == Some(&wanted));
            expected.extend(having.map(|(key, (_, n))| (snapshot.snapshot, *key, i64::from(*n))));
        }
        assert_eq!(told, expected, "seed {seed}");
    }
}
