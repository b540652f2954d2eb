//! The chain of snapshots and the chain of the journal's records: what each file says of the one before it, what the index
//! witnesses, and what was forgotten. Pure: states in, findings out.

use std::collections::BTreeMap;

use super::{
    files::{Records, Snapshots, State},
    finding::{Finding, FindingKind, Numbers},
};
use crate::archive::{flaw::Flaw, index::Index, journal::Forgotten, layout};

const FETCH: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";
const FETCH_SNAPSHOT: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive. When there is none, `tillvault forget N --lost` goes on without it";
const MIXED: &str = "keep both files and find out which copy of the archive they come from: two machines may have written to copies of one archive";

/// A snapshot or record that is damaged or not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) number: u64,
    /// Whether a file of its name is there.
    pub(super) is_there: bool,
    /// BLAKE3 of the good file, when something vouches for it.
    pub(super) expected: Option<String>,
    /// Nothing says that there ever was a snapshot of this number: the file is another's.
    pub(super) is_stray: bool,
}

/// What is known when the chain is judged.
pub(super) struct Chain<'a> {
    pub(super) snapshots: &'a Snapshots,
    pub(super) forgotten: &'a BTreeMap<u64, Forgotten>,
    pub(super) index: Option<&'a Index>,
    /// Whether every record of the journal could be read.
    pub(super) is_journal_whole: bool,
}

/// Findings, and what a repair should look for.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) findings: Vec<Finding>,
    pub(super) lost: Vec<Lost>,
}

impl Chain<'_> {
    /// Every number there should be something to say about, ascending.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let good = self.snapshots.iter().filter(|(_, state)| matches!(state, State::Good { .. })).map(|(n, _)| *n);
        let witnessed = self.index.and_then(|index| index.snapshots.last()).map(|entry| entry.snapshot);
        let forgotten = self.forgotten.keys().next_back().copied();
        let mut newest = good.chain(witnessed).chain(forgotten).max().unwrap_or(0);
        while self.snapshots.contains_key(&(newest + 1)) {
            newest += 1;
        }
        let beyond = self.snapshots.keys().copied().filter(|number| *number > newest);
        (1..=newest).chain(beyond).collect()
    }

    fn entry_hash(&self, number: u64) -> Option<&str> {
        self.index.and_then(|index| index.entry(number)).map(|entry| entry.hash.as_str())
    }

    /// The parents that the file and the journal's entry of the snapshot after `number` name.
    fn claims(&self, number: u64) -> Vec<Option<&str>> {
        let file = match self.snapshots.get(&(number + 1)) {
            Some(State::Good { inner, .. }) => Some(inner.parent.as_deref()),
            _ => None,
        };
        let forgotten = self.forgotten.get(&(number + 1)).map(|forgotten| forgotten.parent.as_deref());
        file.into_iter().chain(forgotten).collect()
    }

    /// What the good file of a number should hash to, by whoever vouches for it.
    pub(super) fn expected(&self, number: u64) -> Option<String> {
        let claimed = self.claims(number).into_iter().flatten().next();
        let forgotten = self.forgotten.get(&number).map(|forgotten| forgotten.hash.as_str());
        claimed.or(forgotten).or_else(|| self.entry_hash(number)).map(str::to_owned)
    }

    /// BLAKE3 of the snapshot of a number as far as it is known, for its successor's parent.
    pub(super) fn known_hash(&self, number: u64) -> Option<String> {
        match self.snapshots.get(&number) {
            Some(State::Good { hash, .. }) => Some(hash.clone()),
            _ => self
                .forgotten
                .get(&number)
                .map(|forgotten| forgotten.hash.clone())
                .or_else(|| self.entry_hash(number).map(str::to_owned)),
        }
    }

    /// What is wrong with one number and with the link from the next one to it.
    pub(super) fn judge(&self, number: u64, verdict: &mut Verdict) {
        let path = layout::snapshot_path(number);
        let lost = |is_there, expected| Lost { number, is_there, expected, is_stray: false };
        let finding = |kind, message: String| Finding::new(kind, &path, message).of_snapshots(Numbers::one(number));
        match self.snapshots.get(&number) {
            None => match self.forgotten.get(&number) {
                Some(forgotten) => self.follow(number, &forgotten.hash, verdict),
                None => {
                    let mut message = format!("snapshot {number} is lost: there is no file, and it was not forgotten");
                    if !self.is_journal_whole {
                        message.push_str(" as far as the journal can be read");
                    }
                    verdict.findings.push(finding(FindingKind::SnapshotMissing, message).next(FETCH_SNAPSHOT));
                    verdict.lost.push(lost(false, self.expected(number)));
                }
            },
            Some(State::Unreadable { message }) => {
                verdict.findings.push(finding(FindingKind::Unreadable, message.clone()).next(FETCH_SNAPSHOT));
                verdict.lost.push(lost(true, self.expected(number)));
            }
            Some(State::Bad { flaw: Flaw::Newer, message, .. }) => {
                let newer = finding(FindingKind::UnknownFormat, format!("{message}; it was not checked"));
                verdict.findings.push(newer.next("check with the newest tillvault"));
            }
            Some(State::Bad { hash, flaw, message }) => {
                let kind = match flaw {
                    Flaw::Cut => FindingKind::SnapshotTruncated,
                    Flaw::Exchanged => FindingKind::SnapshotExchanged,
                    Flaw::Contradiction => FindingKind::SnapshotContradictory,
                    Flaw::Altered | Flaw::Newer => FindingKind::SnapshotAltered,
                };
                verdict.findings.push(finding(kind, message.clone()).next(FETCH_SNAPSHOT));
                let expected = self.expected(number);
                // A file that was written like this has no better copy.
                if expected.as_ref() != Some(hash) {
                    let is_stray = *flaw == Flaw::Exchanged && expected.is_none();
                    verdict.lost.push(Lost { is_stray, ..lost(true, expected) });
                }
            }
            Some(State::Good { hash, inner }) => {
                if number == 1 && inner.parent.is_some() {
                    let message = "snapshot 1 names a parent, though it is the first".to_owned();
                    verdict.findings.push(finding(FindingKind::SnapshotFork, message).next(MIXED));
                }
                self.judge_good(number, hash, verdict);
            }
        }
    }

    /// A file that is whole in itself: is it the one that others vouch for?
    fn judge_good(&self, number: u64, hash: &str, verdict: &mut Verdict) {
        let path = layout::snapshot_path(number);
        let claims = self.claims(number);
        let forgotten = self.forgotten.get(&number).map(|forgotten| forgotten.hash == hash);
        let witnessed = self.entry_hash(number).map(|entry| entry == hash);
        let is_vouched = claims.contains(&Some(hash)) || forgotten == Some(true) || witnessed == Some(true);
        let is_contradicted =
            claims.iter().any(|claim| *claim != Some(hash)) || forgotten == Some(false) || witnessed == Some(false);
        if is_vouched {
            self.follow(number, hash, verdict);
        } else if is_contradicted {
            let by = match (witnessed, claims.is_empty()) {
                (Some(false), _) => "the index knows another file of that name".to_owned(),
                (_, false) => format!("snapshot {} names another parent", number + 1),
                _ => "the journal names another file".to_owned(),
            };
            let message = format!("snapshot {number} is not the file that was written: {by}");
            let finding = Finding::new(FindingKind::SnapshotAltered, &path, message);
            verdict.findings.push(finding.of_snapshots(Numbers::one(number)).next(FETCH_SNAPSHOT));
            let expected = self.expected(number).filter(|expected| expected != hash);
            verdict.lost.push(Lost { number, is_there: true, expected, is_stray: false });
        }
    }

    /// The snapshot `number` is known to be `hash`: does the next one follow it?
    fn follow(&self, number: u64, hash: &str, verdict: &mut Verdict) {
        let next = number + 1;
        if self.claims(number).iter().all(|claim| *claim == Some(hash)) {
            return;
        }
        let message = format!(
            "snapshot {next} follows another snapshot {number} than this archive's: its parent is a different file"
        );
        let finding = Finding::new(FindingKind::SnapshotFork, layout::snapshot_path(next), message);
        verdict.findings.push(finding.of_snapshots(Numbers::one(next)).next(MIXED));
        // Where somebody vouches for another file of that number, that one is the good one.
        if let Some(State::Good { hash: found, .. }) = self.snapshots.get(&next)
            && let Some(expected) = self.expected(next).filter(|expected| expected != found)
        {
            verdict.lost.push(Lost { number: next, is_there: true, expected: Some(expected), is_stray: false });
        }
    }
}

/// The journal's own chain: gaps, damaged records, records that are not the ones that were written.
pub(super) fn judge_journal(records: &Records, index: Option<&Index>) -> Verdict {
    let mut verdict = Verdict::default();
    let witness = index.and_then(|index| index.journal.as_ref());
    let newest = records.keys().next_back().copied().max(witness.map(|witness| witness.record)).unwrap_or(0);
    for number in 1..=newest {
        let path = layout::record_path(number);
        let expected = expected_record(records, index, number);
        let found = match records.get(&number) {
            None => Some((FindingKind::RecordMissing, format!("record {number} of the journal is lost"))),
            Some(State::Unreadable { message }) => Some((FindingKind::Unreadable, message.clone())),
            Some(State::Bad { flaw: Flaw::Newer, message, .. }) => {
                let newer = Finding::new(FindingKind::UnknownFormat, &path, format!("{message}; it was not checked"));
                verdict.findings.push(newer.next("check with the newest tillvault"));
                continue;
            }
            Some(State::Bad { message, .. }) => Some((FindingKind::RecordAltered, message.clone())),
            Some(State::Good { hash, .. }) => expected.as_ref().filter(|expected| *expected != hash).map(|_| {
                (FindingKind::RecordAltered, format!("record {number} of the journal is not the file that was written"))
            }),
        };
        if let Some((kind, message)) = found {
            verdict.findings.push(Finding::new(kind, &path, message).next(FETCH));
            let is_there = records.contains_key(&number);
            verdict.lost.push(Lost { number, is_there, expected, is_stray: false });
        }
    }
    verdict
}

/// What the good file of a record should hash to: its successor says, or the index.
fn expected_record(records: &Records, index: Option<&Index>, number: u64) -> Option<String> {
    if let Some(State::Good { inner, .. }) = records.get(&(number + 1)) {
        return inner.parent.clone();
    }
    let witness = index.and_then(|index| index.journal.as_ref()).filter(|witness| witness.record == number);
    witness.map(|witness| witness.hash.clone())
}
