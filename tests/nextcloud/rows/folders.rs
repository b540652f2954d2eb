//! Folders that are missing, and things that are gone: rows 8, 9 and 37.

use tillvault::{error::Kind, store::proof::Trash};

use super::{Rig, bytes, count, story, words};
use crate::double::{Action, Event, Fault, Options};

#[tokio::test]
async fn row_08_the_parent_is_missing() {
    for version in [30, 31, 32] {
        let rig = Rig::with(Options { version, ..Options::default() }).await;
        // Even the archive's own folder is not there.
        rig.server.happen(&Event::Vanishes("till".into()));
        rig.put("tables/Tickets/a.parquet", &bytes(10)).await.unwrap();
        assert_eq!(rig.content("tables/Tickets/a.parquet").unwrap(), bytes(10));
        let log = rig.server.log();
        assert!(count(&rig.about("a.parquet"), "PUT") <= 2, "{version}: {:?}", story(&log));
        let made: Vec<&str> =
            log.iter().filter(|entry| entry.short() == "MKCOL 201").map(|entry| entry.path.as_str()).collect();
        let depths: Vec<usize> = made.iter().map(|path| path.trim_end_matches('/').matches('/').count()).collect();
        assert!(depths.is_sorted(), "from the top down: {made:?}");
        // Known folders cost nothing.
        rig.server.take_log();
        rig.put("tables/Tickets/b.parquet", &bytes(10)).await.unwrap();
        assert_eq!(story(&rig.server.log()), ["PUT 201"]);
        // One that vanishes is made again.
        rig.server.happen(&Event::Vanishes("till/tables".into()));
        rig.put("tables/Tickets/c.parquet", &bytes(10)).await.unwrap();
        assert_eq!(rig.server.files().len(), 1);
        rig.assert_clean();
    }
}

#[tokio::test]
async fn row_09_somebody_else_makes_the_folder() {
    let rig = Rig::new().await;
    let race = Action::Before(Event::FolderAppears("till/tables/Tickets".into()));
    rig.server.inject(Fault::every("MKCOL", race));
    rig.put("tables/Tickets/a.parquet", &bytes(10)).await.unwrap();
    assert!(rig.server.log().iter().any(|entry| entry.short() == "MKCOL 405"), "{:?}", story(&rig.server.log()));
    assert_eq!(rig.content("tables/Tickets/a.parquet").unwrap(), bytes(10));
    // A file stands where a folder should be: nobody but the owner can tell what is right.
    let rig = Rig::new().await;
    rig.server.store("till/tables", "a file");
    let error = rig.put("tables/Tickets/a.parquet", &bytes(10)).await.unwrap_err();
    assert!(words(&error).contains("a file stands where the folder"), "{}", words(&error));
    assert_eq!(error.kind(), Kind::Store);
    assert!(!error.is_temporary());
    assert_eq!(rig.content("tables").unwrap(), "a file");
}

#[tokio::test]
async fn row_37_deleting_what_is_gone_or_locked() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/Tickets/a.parquet", "x");
    let path = "tables/Tickets/a.parquet".into();
    // It goes between the look and the delete.
    rig.server.inject(Fault::next("DELETE", Action::Before(Event::Vanishes("till/tables/Tickets/a.parquet".into()))));
    rig.remote.remove(&path, Trash::Keep).await.unwrap();
    rig.remote.remove(&path, Trash::Keep).await.unwrap();

    rig.server.store("till/tables/Tickets/a.parquet", "x");
    rig.server.inject(Fault::every(
        "DELETE",
        Action::error(423, "OCA\\DAV\\Connector\\Sabre\\Exception\\FileLocked", "locked"),
    ));
    let error = rig.remote.remove(&path, Trash::Keep).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "later is fine: {}", words(&error));
    rig.server.heal();
    rig.remote.remove(&path, Trash::Keep).await.unwrap();
    assert_eq!(rig.server.trash().len(), 1, "what was the archive's goes to the trash");
    rig.server.store("till/tables/Tickets/a.parquet", "x");
    rig.remote.remove(&path, Trash::Skip).await.unwrap();
    assert_eq!(rig.server.trash().len(), 1, "or past it when that was asked for");
}
