//! Others in between, and what servers do not take: rows 32 to 35.

use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tillvault::store::upload::Stored;

use super::{Rig, bytes, remote_at, shown, story, words};
use crate::double::{Action, Double, Fault, Options};

#[tokio::test]
async fn row_32_redirects_are_told_and_not_followed() {
    let elsewhere = Double::local().await;
    for status in [301, 302, 303, 307, 308] {
        let rig = Rig::new().await;
        let target = elsewhere.url().join("moved?token=s3cret").unwrap();
        let redirect = || {
            let headers = vec![("location", target.to_string())];
            Action::Answer { status, headers, body: String::new() }
        };
        rig.server.inject(Fault::every("PUT", redirect()));
        rig.server.inject(Fault::every("PROPFIND", redirect()));
        let error = rig.put("tables/T/a.parquet", &bytes(10)).await.unwrap_err();
        let said = words(&error);
        assert!(said.contains("redirects to http://127.0.0.1") && said.contains("moved"), "{status}: {said}");
        assert!(!said.contains("s3cret") && !error.is_temporary(), "{said}");
        let listed = shown(rig.remote.store.list_with_delimiter(None).await.unwrap_err());
        assert!(words(&listed).contains("redirects to"), "{}", words(&listed));
        assert_eq!(rig.server.log().len(), 2, "{:?}", story(&rig.server.log()));
    }
    assert!(elsewhere.log().is_empty(), "nothing was sent on");
}

#[tokio::test]
async fn row_33_a_sign_in_page_is_no_answer() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/T/a.parquet", "x");
    for method in ["PROPFIND", "PUT", "MKCOL", "DELETE", "PATCH"] {
        rig.server.inject(Fault::every(method, Action::html(200, "Welcome to our Wi-Fi")));
    }
    let path = Path::from("tables/T/a.parquet");
    let listed = shown(rig.remote.store.list_with_delimiter(None).await.unwrap_err());
    let said = words(&listed);
    assert!(said.contains("no WebDAV listing") || said.contains("web page"), "{said}");
    let found = rig.remote.store.head(&path).await.unwrap_err();
    assert!(!matches!(found, object_store::Error::NotFound { .. }), "{found}");
    let error = rig.put("tables/T/b.parquet", &bytes(10)).await.unwrap_err();
    assert!(words(&error).contains("web page"), "{}", words(&error));
    assert!(rig.remote.store.delete(&path).await.is_err());
    assert_eq!(rig.server.files().len(), 1);
    // One who answers 207 to everything is no better.
    rig.server.heal();
    rig.server.inject(Fault::every("PROPFIND", Action::html(207, "Welcome")));
    rig.remote.store.list_with_delimiter(None).await.unwrap_err();
}

#[tokio::test]
async fn row_34_modification_times_are_not_taken() {
    let rig = Rig::with(Options { mtime: false, ..Options::default() }).await;
    assert_eq!(rig.put("tables/T/a.parquet", &bytes(10)).await.unwrap(), Stored::Uploaded);
    assert_eq!(rig.put("tables/T/a.parquet", &bytes(10)).await.unwrap(), Stored::Present);
}

#[tokio::test]
async fn row_35_the_servers_clock_is_off() {
    let mut stories = Vec::new();
    for days in [0, -1000, 1000] {
        let rig = Rig::with(Options { clock: days * 86_400, ..Options::default() }).await;
        rig.server.inject(Fault::next("PUT", Action::CutVisible(3)).nth(2));
        for name in ["a", "b", "a"] {
            rig.put(&format!("tables/T/{name}.parquet"), &bytes(10)).await.unwrap();
        }
        let other = remote_at(&rig.server, rig.cache.path());
        assert_eq!(other.put_new(&"tables/T/b.parquet".into(), bytes(10)).await.unwrap(), Stored::Present);
        rig.remote.store.delete(&Path::from("tables/T/a.parquet")).await.unwrap();
        let listed = rig.remote.store.list_with_delimiter(Some(&Path::from("tables/T"))).await.unwrap();
        assert_eq!(listed.objects.len(), 1);
        stories.push(story(&rig.server.log()));
    }
    assert_eq!(stories[0], stories[1], "no decision rests on it");
    assert_eq!(stories[0], stories[2]);
}
