//! Random histories, forgotten and pruned by random rules: no remaining answer ever changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::{collection::vec, option, prelude::*};
use tillvault::{
    archive::Archive,
    model::keep::{Count, KeepRules},
    ops::{forget::Choice, policy::Lifted},
};

use crate::support::{Say, answers, at, chunks, forget_with, options, prune_at, table, take};

/// One step in the life of an archive.
#[derive(Clone, Debug)]
enum Step {
    /// So many minutes later (or earlier, when the clock is set back): change rows of tables, take a snapshot.
    Take {
        minutes: i64,
        changes: Vec<(usize, i32, u8)>,
        revert: bool,
        clear: bool,
        nightly: bool,
        missing: Option<usize>,
    },
    Forget {
        rules: KeepRules,
        lifted: Lifted,
    },
    /// So many hours of grace.
    Prune {
        minutes: i64,
        grace: i64,
    },
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![4 => Just(Count::NONE), 3 => (1..5_u32).prop_map(Count::Newest), 1 => Just(Count::All)]
}

fn rules() -> impl Strategy<Value = KeepRules> {
    let within = option::weighted(0.3, prop_oneof!["3h", "2d", "1mo"]);
    (1..4_u32, any::<bool>(), within, count(), count(), count(), count(), count()).prop_map(
        |(last, tag, within, hourly, daily, weekly, monthly, yearly)| KeepRules {
            tags: if tag { ["nightly".to_owned()].into() } else { BTreeSet::new() },
            within: within.map(|text| text.parse().unwrap()),
            last: Count::Newest(last),
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = || prop_oneof![8 => 5..600_i64, 2 => 600..20_000_i64, 1 => -3_000..0_i64];
    let change = (0..3_usize, prop_oneof![1..40_i32, 500..530, 4_090..4_100], any::<u8>());
    let take = (minutes(), vec(change, 0..6), prop::bool::weighted(0.15), prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        6 => (take, option::weighted(0.1, 0..3_usize)).prop_map(|((minutes, changes, revert, clear, nightly), missing)|
            Step::Take { minutes, changes, revert, clear, nightly, missing }),
        2 => (rules(), any::<(bool, bool)>()).prop_map(|(rules, (before_clears, doubtful_clocks))|
            Step::Forget { rules, lifted: Lifted { before_clears, doubtful_clocks } }),
        2 => (minutes(), prop_oneof![Just(0_i64), Just(24)]).prop_map(|(minutes, grace)| Step::Prune { minutes, grace }),
    ]
}

type Values = [BTreeMap<i32, String>; 3];

/// The archive with what it should hold.
struct Life {
    archive: Archive,
    now: Timestamp,
    epoch: u32,
    values: Values,
    earlier: Values,
    /// Every answer that any snapshot ever gave.
    given: BTreeMap<(u64, String), String>,
}

impl Life {
    async fn step(&mut self, step: &Step) {
        let before = self.archive.snapshot_numbers().unwrap();
        match step {
            Step::Take { minutes, changes, revert, clear, nightly, missing } => {
                self.now += SignedDuration::from_mins(*minutes);
                if *revert {
                    self.values.clone_from(&self.earlier);
                } else {
                    self.earlier.clone_from(&self.values);
                }
                if *clear {
                    self.values[0].clear();
                    self.epoch += 1;
                }
                for (table, id, value) in changes {
                    if value % 5 == 0 {
                        self.values[*table].remove(id);
                    } else {
                        self.values[*table].insert(*id, format!("value {value} of {id}"));
                    }
                }
                let tables = [table("Tickets", true), table("Orders", true), table("Menu", false)];
                let there: Vec<_> = tables
                    .iter()
                    .zip(&self.values)
                    .enumerate()
                    .filter(|(at, _)| Some(*at) != *missing)
                    .map(|(_, table)| table)
                    .collect();
                let say = Say {
                    taken_at: self.now,
                    tags: if *nightly { vec!["nightly".into()] } else { vec![] },
                    epoch: self.epoch,
                    clear: *clear,
                    missing: missing.iter().map(|at| tables[*at].name.to_string()).collect(),
                };
                let number = take(&self.archive, &say, &there).await;
                self.given.extend(answers(&self.archive).into_iter().filter(|((of, _), _)| *of == number));
            }
            Step::Forget { rules, lifted } => {
                let mut options = options(Choice::Rules(rules.clone()));
                options.lifted = *lifted;
                options.now = self.now;
                options.zone = TimeZone::get("Europe/London").unwrap();
                let outcome = forget_with(&self.archive, &options).await;
                let after = self.archive.snapshot_numbers().unwrap();
                assert_eq!(after.last(), before.last());
                let gone: Vec<u64> = before.iter().copied().filter(|number| !after.contains(number)).collect();
                assert_eq!(outcome.forgotten, gone);
                // Once is enough.
                assert_eq!(forget_with(&self.archive, &options).await.forgotten, Vec::<u64>::new());
            }
            Step::Prune { minutes, grace } => {
                self.now += SignedDuration::from_mins(*minutes);
                let outcome = prune_at(&self.archive, self.now, SignedDuration::from_hours(*grace)).await;
                assert_eq!(self.archive.snapshot_numbers().unwrap(), before);
                if *grace == 0 {
                    assert_eq!(outcome.waiting, 0);
                    assert_eq!(chunks(&self.archive).len() as u64, outcome.used);
                }
            }
        }
        // What is left answers as it always did. (`answers` asserts that no chunk is missing.)
        let left = answers(&self.archive);
        assert!(left.iter().all(|(key, answer)| self.given.get(key) == Some(answer)));
        let listed: BTreeSet<u64> = self.archive.snapshot_numbers().unwrap().into_iter().collect();
        assert!(self.given.keys().filter(|(number, _)| listed.contains(number)).all(|key| left.contains_key(key)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn maintenance_cannot_change_history(steps in vec(step(), 1..24)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut life = Life {
                archive: Archive::create(folder.path(), "Test").unwrap(),
                now: at("2026-10-20T00:00:00Z"),
                epoch: 1,
                values: Values::default(),
                earlier: Values::default(),
                given: BTreeMap::new(),
            };
            for step in &steps {
                life.step(step).await;
            }
            // And to the last byte that is not needed.
            life.step(&Step::Prune { minutes: 0, grace: 0 }).await;
            life.archive.survey(|_, _| {}).unwrap();
        });
    }
}
