//! `tag`: gives words to a snapshot, or takes them away. The snapshot's file never changes; a record of the journal tells.

use serde::Serialize;

use crate::{
    archive::{Archive, journal::Tagging, snapshot::Snapshot},
    error::{Error, Kind, Result},
};

/// Longest tag, in characters.
const LONGEST: usize = 64;

/// What to do with the tags of a snapshot. `set` comes first, then `remove`, then `add`.
#[derive(Clone, Debug, Default)]
pub struct TagOptions {
    /// Words to add.
    pub add: Vec<String>,
    /// Words to take away.
    pub remove: Vec<String>,
    /// Words to have in place of all there are.
    pub set: Option<Vec<String>>,
    /// Plan only.
    pub dry_run: bool,
}

/// The JSON of `tag`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagOutcome {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Its tags before.
    pub before: Vec<String>,
    /// Its tags now; with `dry_run`, as they would be.
    pub tags: Vec<String>,
    /// Whether that is another set of words.
    pub changed: bool,
}

/// The tags a snapshot has after `options`, given those `before`. Words that stay keep their place, new ones follow.
///
/// # Errors
/// `Usage` when a word is not a tag; see [`check_word`].
pub fn plan_tags(before: &[String], options: &TagOptions) -> Result<Vec<String>> {
    for word in options.add.iter().chain(options.set.iter().flatten()) {
        check_word(word)?;
    }
    let mut tags: Vec<String> = Vec::new();
    let kept = options.set.as_deref().unwrap_or(before).iter().filter(|word| !options.remove.contains(word));
    for word in kept.chain(&options.add) {
        if !tags.contains(word) {
            tags.push(word.clone());
        }
    }
    Ok(tags)
}

/// Refuses what is no tag: 1 to 64 letters, digits and `-_.:`.
///
/// # Errors
/// `Usage`.
pub fn check_word(word: &str) -> Result<()> {
    let length = word.chars().count();
    let plain = word.chars().all(|character| character.is_alphanumeric() || "-_.:".contains(character));
    if plain && (1..=LONGEST).contains(&length) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("{word:?} is no tag"))
        .hint(format!("a tag has 1 to {LONGEST} letters, digits, or any of -_.:")))
}

/// Changes the tags of a snapshot. Writes one record when they change, else nothing.
///
/// # Errors
/// `Usage` when a word is not a tag; `Busy` when another run is writing; `Damage` when the journal cannot be read; `Store` when the record
/// cannot be written.
pub async fn tag(archive: &Archive, snapshot: &Snapshot, options: &TagOptions) -> Result<TagOutcome> {
    let _lock = if options.dry_run { None } else { Some(archive.lock()?) };
    let mut journal = archive.journal()?;
    let before = journal.tags(snapshot).to_vec();
    let planned = plan_tags(&before, options)?;
    let changed = planned.len() != before.len() || planned.iter().any(|word| !before.contains(word));
    // The same words in another order are no change.
    let tags = if changed { planned } else { before.clone() };
    let outcome = TagOutcome { snapshot: snapshot.snapshot, before, tags, changed };
    if changed && !options.dry_run {
        let tagging = Tagging { snapshot: snapshot.snapshot, tags: outcome.tags.clone() };
        archive.write_record(&mut journal, Some(tagging), None).await?;
        // Derived: the tags are kept without it, and the next run brings it up to date.
        let _ = archive.write_index(false).await;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn words_are_set_then_removed_then_added() {
        let plan = |before: &str, set: Option<&str>, remove: &str, add: &str| {
            let options = TagOptions { add: words(add), remove: words(remove), set: set.map(words), dry_run: true };
            plan_tags(&words(before), &options).unwrap().join(",")
        };
        assert_eq!(plan("nightly", None, "", "pre-clear,nightly"), "nightly,pre-clear");
        assert_eq!(plan("a,b,c", None, "b,x", ""), "a,c");
        assert_eq!(plan("a,b", Some("c,d,c"), "d", "e"), "c,e");
        assert_eq!(plan("a,b", Some(""), "", ""), "");
        assert_eq!(plan("a", None, "a", "a"), "a", "what is added is there");
    }

    #[test]
    fn what_is_no_tag_is_refused_and_what_is_there_can_be_removed() {
        for good in ["a", "pre-clear", "2026-10-01", "v1.2:ok_", "çay", &"x".repeat(64)] {
            check_word(good).expect(good);
        }
        for bad in ["", " ", "a b", "a,b", "a/b", "ta\ng", &"x".repeat(65)] {
            assert_eq!(check_word(bad).expect_err(bad).kind(), Kind::Usage);
        }
        let options = TagOptions { remove: vec!["odd one".into()], ..TagOptions::default() };
        assert!(plan_tags(&["odd one".into()], &options).unwrap().is_empty());
    }
}
