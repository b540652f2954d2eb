//! What a push leaves behind about a remote, for those who list.

use std::{fs, sync::Arc};

use object_store::{ObjectStore, memory::InMemory};
use tillvault::{
    observe::silent,
    ops::push::{PushOptions, push},
    store::{
        Remote,
        fault::{Faults, Faulty},
        profile::ServerKind,
    },
};

use crate::book::{Book, lines, names, orders};

fn remote(name: &str, store: Arc<dyn ObjectStore>) -> Remote {
    Remote::over(name, store, ServerKind::Memory).with_connections(1)
}

async fn book() -> Book {
    let book = Book::new();
    for last in [3, 4, 5] {
        book.take(&[orders(lines(1..=last))]).await;
    }
    book
}

fn known(book: &Book) -> Vec<u64> {
    book.archive.pushed().into_iter().find(|note| note.remote == "cloud").map(|note| note.snapshots).unwrap_or_default()
}

#[tokio::test]
async fn a_push_notes_what_the_remote_holds_also_when_it_stops_half_way() {
    let whole = book().await;
    let calls = Faults::none();
    let store = Faulty::new(Arc::new(InMemory::new()), Arc::clone(&calls));
    push(&whole.archive, &remote("cloud", Arc::new(store)), &PushOptions::default(), &silent()).await.unwrap();
    assert_eq!(known(&whole), [1, 2, 3]);

    let mut seen = std::collections::BTreeSet::new();
    for n in 1..=calls.calls() {
        let book = book().await;
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let dying = Faulty::new(Arc::clone(&memory), Faults::from_call(n));
        push(&book.archive, &remote("cloud", Arc::new(dying)), &PushOptions::default(), &silent()).await.unwrap_err();
        let noted = known(&book);
        for number in &noted {
            let path = object_store::path::Path::from(format!("snapshots/{number:06}.json.zst"));
            memory.get_opts(&path, object_store::GetOptions::default()).await.unwrap();
        }
        seen.insert(noted.len());
        // The next push learns the rest.
        push(&book.archive, &remote("cloud", memory), &PushOptions::default(), &silent()).await.unwrap();
        assert_eq!(known(&book), [1, 2, 3]);
    }
    assert!(seen.is_superset(&[0, 1, 2].into()), "{seen:?}");
}

#[tokio::test]
async fn a_dry_run_and_an_unreachable_remote_note_nothing() {
    let book = book().await;
    let options = PushOptions { dry_run: true, ..PushOptions::default() };
    push(&book.archive, &remote("cloud", Arc::new(InMemory::new())), &options, &silent()).await.unwrap();
    let dead = Faulty::new(Arc::new(InMemory::new()), Faults::from_call(1));
    push(&book.archive, &remote("usb", Arc::new(dead)), &PushOptions::default(), &silent()).await.unwrap_err();
    assert!(book.archive.pushed().is_empty());
}

#[tokio::test]
async fn a_remotes_name_leads_nowhere_and_broken_notes_are_no_notes() {
    let book = book().await;
    for name in ["../../escaped", "Cloud", "cloud", "con", "ü"] {
        book.archive.note_pushed(name, &[2, 1, 2]).await.unwrap();
    }
    let notes = book.archive.pushed();
    assert_eq!(
        notes.iter().map(|note| note.remote.as_str()).collect::<Vec<_>>(),
        ["../../escaped", "Cloud", "cloud", "con", "ü"]
    );
    assert!(notes.iter().all(|note| note.snapshots == [1, 2] && note.holds(2) && !note.holds(3)));
    assert_eq!(names(&book.path("")).iter().filter(|name| name.starts_with(".pushed-")).count(), 5);
    assert!(!names(book.path("").parent().unwrap().parent().unwrap()).iter().any(|name| name.contains("escaped")));

    fs::write(book.path(".pushed-cloud.json"), "{").unwrap();
    fs::rename(book.path(".pushed--63on.json"), book.path(".pushed-x.json")).unwrap();
    assert_eq!(book.archive.pushed().len(), 3);
    // Half-written notes go with the next push.
    fs::write(book.path(".pushed-cloud.json#1"), "{").unwrap();
    drop(book.archive.lock_push().unwrap());
    assert!(!book.path(".pushed-cloud.json#1").exists());
}
