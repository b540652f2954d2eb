//! A till, its archive, and the model of what the archive must hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tillvault::{
    archive::Archive,
    error::Kind,
    model::keep::{Count, KeepRules},
    observe::silent,
    ops::{
        forget::{Choice, ForgetOptions, forget, plan_forget},
        policy::Lifted,
        prune::{PruneOptions, prune},
        snapshot::SnapshotOutcome,
        tag::{TagOptions, tag},
    },
    store::fault::{Faults, Faulty},
};

use crate::{
    changes::{HASHED, change, first},
    dice::Dice,
    scripted_till::{
        State,
        archives::{first_with_hash_ladder, open, plain, take},
        held::{Held, Reader, files},
    },
};

pub(crate) struct World {
    dice: Dice,
    folder: tempfile::TempDir,
    till: State,
    /// States that snapshots were taken of; one may come back.
    earlier: Vec<State>,
    held: Held,
    tags: BTreeMap<u64, Vec<String>>,
    epochs: BTreeMap<u64, u32>,
    /// The highest number that any snapshot ever had.
    newest: u64,
    /// The present moment for prune. It may go back.
    now: Timestamp,
    reader: Reader,
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Archive::create(folder.path(), "Test").unwrap();
        let mut dice = Dice::new(seed);
        let till = first(&mut dice);
        first_with_hash_ladder(&plain(folder.path()), &till, HASHED).await;
        Self {
            folder,
            dice,
            earlier: vec![till.clone()],
            held: Held::from([(1, till.clone().sorted())]),
            till,
            tags: BTreeMap::from([(1, vec!["nightly".to_owned()])]),
            epochs: BTreeMap::from([(1, 1)]),
            newest: 1,
            now: Timestamp::now(),
            reader: Reader::default(),
        }
    }

    /// One step; then everything is compared with the model.
    pub(crate) async fn step(&mut self) {
        self.now += SignedDuration::from_hours(self.dice.between(-2, 14));
        let archive = plain(self.folder.path());
        match self.dice.below(100) {
            0..30 => {
                for _ in 0..=self.dice.below(3) {
                    let changed = change(&mut self.till, &self.earlier, &mut self.dice);
                    eprintln!("{changed}");
                }
                return;
            }
            30..60 => {
                if self.dice.chance(60) {
                    change(&mut self.till, &self.earlier, &mut self.dice);
                }
                let outcome = take(&archive, &self.till).await.unwrap();
                eprintln!("snapshot {}{}", outcome.snapshot, if outcome.unchanged { ", unchanged" } else { "" });
                self.taken(&outcome);
            }
            60..65 => self.tag(&archive).await,
            65..77 => self.forget(&archive).await,
            77..85 => self.prune(&archive).await,
            _ => self.break_off().await,
        }
        self.compare(&archive);
    }

    /// At last: a snapshot that finds nothing half-done, and a prune after which nothing unused is left.
    pub(crate) async fn end(&mut self) {
        let archive = plain(self.folder.path());
        let outcome = take(&archive, &self.till).await.unwrap();
        self.taken(&outcome);
        assert!(take(&archive, &self.till).await.unwrap().unchanged);
        prune(&archive, &self.pruning(SignedDuration::ZERO), &silent()).await.unwrap();
        self.compare(&archive);
        self.assert_no_unused(&archive);
        assert!(!files(archive.root()).iter().any(|name| name.contains('#')), "a leftover is there");
        assert_eq!(archive.index().unwrap(), archive.present_index(true).unwrap());
    }

    /// Takes note of a snapshot of the present till.
    fn taken(&mut self, outcome: &SnapshotOutcome) {
        let state = self.till.clone().sorted();
        if outcome.unchanged {
            assert_eq!(self.held.last_key_value(), Some((&outcome.snapshot, &state)), "unchanged, and yet it is not");
            return;
        }
        assert_eq!(outcome.snapshot, self.newest + 1);
        self.note_new(outcome.snapshot, outcome.epoch);
    }

    fn note_new(&mut self, number: u64, epoch: u32) {
        assert!(self.epochs.values().all(|before| *before <= epoch), "an epoch of the past");
        self.newest = number;
        self.held.insert(number, self.till.clone().sorted());
        self.tags.insert(number, Vec::new());
        self.epochs.insert(number, epoch);
        self.earlier.push(self.till.clone());
    }

    /// Every snapshot that should be there is, holds what it held, and has its tags.
    fn compare(&mut self, archive: &Archive) {
        let listed = self.reader.assert_whole(archive, &self.held);
        assert_eq!(listed, self.held.keys().copied().collect::<BTreeSet<u64>>());
        let journal = archive.journal().unwrap();
        for number in 1..=self.newest {
            assert!(listed.contains(&number) || journal.forgotten().contains_key(&number), "{number} is lost");
        }
        for number in listed {
            assert_eq!(journal.tags(&archive.snapshot(number).unwrap()), self.tags[&number]);
        }
        archive.verify_chain().unwrap();
    }

    fn some_snapshot(&mut self) -> u64 {
        let numbers: Vec<u64> = self.held.keys().copied().collect();
        *self.dice.one_of(&numbers)
    }

    async fn tag(&mut self, archive: &Archive) {
        let number = self.some_snapshot();
        let word = (*self.dice.one_of(&["nightly", "pre-clear"])).to_owned();
        eprintln!("tag {number} with {word}");
        let snapshot = archive.snapshot(number).unwrap();
        let options = if self.dice.chance(70) {
            TagOptions { add: vec![word], ..TagOptions::default() }
        } else {
            TagOptions { remove: vec![word], ..TagOptions::default() }
        };
        let outcome = tag(archive, &snapshot, &options).await.unwrap();
        assert_eq!(outcome.before, self.tags[&number]);
        self.tags.insert(number, outcome.tags);
    }

    fn forgetting(&mut self) -> ForgetOptions {
        let choice = if self.dice.chance(30) {
            Choice::Numbers(BTreeSet::from([self.some_snapshot(), self.some_snapshot()]))
        } else {
            let mut rules = KeepRules {
                last: Count::Newest(u32::try_from(self.dice.below(4) + 1).unwrap()),
                ..KeepRules::default()
            };
            if self.dice.chance(40) {
                rules.tags.insert("nightly".into());
            }
            if self.dice.chance(20) {
                rules.daily = Count::All;
            }
            Choice::Rules(rules)
        };
        let lifted = Lifted { before_clears: self.dice.chance(20), doubtful_clocks: self.dice.chance(20) };
        let grace = *self.dice.one_of(&[SignedDuration::ZERO, SignedDuration::from_hours(24)]);
        let prune = self.dice.chance(30).then_some(grace);
        ForgetOptions { choice, lifted, dry_run: false, prune, zone: TimeZone::UTC, now: self.now }
    }

    /// What forget may take away: nothing, when it refuses.
    fn allowed(&self, archive: &Archive, options: &ForgetOptions) -> Option<BTreeSet<u64>> {
        match plan_forget(archive, options) {
            Ok(plan) => {
                let gone: BTreeSet<u64> = plan.forget.iter().map(|one| one.snapshot).collect();
                assert!(!gone.contains(&self.newest), "the newest is to be forgotten");
                if !options.lifted.before_clears {
                    let last: BTreeMap<u32, u64> =
                        self.held.keys().map(|number| (self.epochs[number], *number)).collect();
                    assert!(last.values().all(|number| !gone.contains(number)), "the last before a clear is to go");
                }
                Some(gone)
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Refused, "{error}");
                None
            }
        }
    }

    fn drop_all(&mut self, gone: impl IntoIterator<Item = u64>) {
        for number in gone {
            self.held.remove(&number);
        }
    }

    async fn forget(&mut self, archive: &Archive) {
        let options = self.forgetting();
        let Some(gone) = self.allowed(archive, &options) else {
            assert_eq!(forget(archive, &options, &silent()).await.unwrap_err().kind(), Kind::Refused);
            return;
        };
        let outcome = forget(archive, &options, &silent()).await.unwrap();
        eprintln!("forget {:?}: {}, prune {:?}", outcome.forgotten, outcome.why, options.prune);
        assert_eq!(outcome.forgotten, gone.iter().copied().collect::<Vec<u64>>());
        self.drop_all(gone);
        if options.prune == Some(SignedDuration::ZERO) {
            self.assert_no_unused(archive);
        }
    }

    fn pruning(&self, grace: SignedDuration) -> PruneOptions {
        PruneOptions { grace, dry_run: false, now: self.now }
    }

    async fn prune(&mut self, archive: &Archive) {
        let grace = SignedDuration::from_hours(*self.dice.one_of(&[0, 1, 24]));
        let outcome = prune(archive, &self.pruning(grace), &silent()).await.unwrap();
        eprintln!("prune after {grace:#}: {} removed, {} wait", outcome.removed, outcome.waiting);
        if grace.is_zero() {
            self.assert_no_unused(archive);
        }
    }

    /// The chunk files that are there are those that snapshots name.
    fn assert_no_unused(&self, archive: &Archive) {
        let named: HashSet<String> = self
            .held
            .keys()
            .flat_map(|number| archive.chunk_objects(&archive.snapshot(*number).unwrap()))
            .map(|chunk| chunk.path)
            .collect();
        let there: HashSet<String> = archive.chunk_files().unwrap().into_iter().map(|chunk| chunk.path).collect();
        assert_eq!(there, named);
    }

    /// A run whose store fails somewhere on the way.
    async fn break_off(&mut self) {
        let call = self.dice.next() % 9 + 1;
        let faults = match self.dice.below(3) {
            0 => Faults::at_call(call),
            1 => Faults::answer_lost_at(call),
            _ => Faults::from_call(call),
        };
        let what = self.dice.below(4);
        eprintln!("run {what} breaks off: {faults:?}");
        let broken = open(self.folder.path(), |store| Arc::new(Faulty::new(store, faults)));
        let whole = plain(self.folder.path());
        let failed = match what {
            0 | 1 => {
                if self.dice.chance(60) {
                    change(&mut self.till, &self.earlier, &mut self.dice);
                }
                match take(&broken, &self.till).await {
                    Ok(outcome) => {
                        self.taken(&outcome);
                        None
                    }
                    Err(error) => {
                        // The file may be there, and only the answer was lost.
                        if whole.snapshot_numbers().unwrap().contains(&(self.newest + 1)) {
                            let epoch = whole.snapshot(self.newest + 1).unwrap().epoch;
                            self.note_new(self.newest + 1, epoch);
                        }
                        Some(error)
                    }
                }
            }
            2 => {
                let options = self.forgetting();
                let Some(gone) = self.allowed(&whole, &options) else { return };
                let failed = forget(&broken, &options, &silent()).await.err();
                let listed = whole.snapshot_numbers().unwrap();
                assert!(failed.is_some() || !listed.iter().any(|number| gone.contains(number)));
                self.drop_all(gone.into_iter().filter(|number| !listed.contains(number)));
                failed
            }
            _ => {
                let grace = SignedDuration::from_hours(*self.dice.one_of(&[0, 24]));
                prune(&broken, &self.pruning(grace), &silent()).await.err()
            }
        };
        if let Some(error) = failed {
            assert_eq!(error.kind(), Kind::Store, "{error}");
        }
    }
}
