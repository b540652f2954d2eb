//! Listings that lie, are cut or come in pages: rows 27 to 31 and 36.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, path::Path};
use tillvault::{
    error::Kind,
    store::{proof::Expected, upload::Stored},
};

use super::{Rig, bytes, count, story, words};
use crate::double::{Action, Event, Fault, Hrefs, Options};

async fn names(rig: &Rig) -> object_store::Result<BTreeSet<String>> {
    let listed = rig.remote.store.list(None).map_ok(|meta| meta.location.to_string());
    listed.try_collect().await
}

fn fill(rig: &Rig) -> BTreeSet<String> {
    let wanted = ["snapshots/000001.json.zst", "tables/Tickets/a+b é.parquet", "tables/Orders/c:d.parquet", "x"];
    wanted.iter().for_each(|name| rig.server.store(&format!("till/{name}"), "content"));
    wanted.map(str::to_owned).into()
}

#[tokio::test]
async fn row_27_a_listing_that_is_cut_or_no_xml() {
    let rig = Rig::new().await;
    fill(&rig);
    let whole = {
        let log = |rig: &Rig| rig.server.take_log().len();
        names(&rig).await.unwrap();
        log(&rig)
    };
    assert!(whole >= 3, "folder by folder");
    for cut in [0, 1, 60, 200, 350] {
        for action in [Action::ShortAnswer(cut), Action::CutAnswer(cut)] {
            rig.server.inject(Fault::every("PROPFIND", action));
            let error = names(&rig).await.unwrap_err();
            assert!(!matches!(error, StoreError::NotFound { .. }), "{cut}: {error}");
            let error = rig.remote.store.head(&Path::from("x")).await.unwrap_err();
            assert!(!matches!(error, StoreError::NotFound { .. }), "{cut}: {error}");
            rig.server.heal();
        }
    }
    let unclosed = |text: String| text.replace("</d:multistatus>", "");
    rig.server.inject(Fault::every("PROPFIND", Action::rewrite(unclosed)));
    names(&rig).await.unwrap_err();
    rig.server.heal();
    // One folder of many: what was listed before does not make it a listing.
    rig.server.inject(Fault::every("PROPFIND", Action::ShortAnswer(300)).on("*/tables/Tickets*"));
    names(&rig).await.unwrap_err();
    rig.server.heal();
    assert_eq!(names(&rig).await.unwrap().len(), 4);
}

#[tokio::test]
async fn row_28_the_server_believes_in_what_it_has_lost() {
    let rig = Rig::new().await;
    let expected = Expected::of(&bytes(1000)).await;
    for name in ["short", "gone", "spoiled", "sound"] {
        rig.put(&format!("tables/T/{name}.parquet"), &bytes(1000)).await.unwrap();
    }
    rig.server.truncate("till/tables/T/short.parquet", 500);
    rig.server.lose("till/tables/T/gone.parquet");
    rig.server.corrupt("till/tables/T/spoiled.parquet");
    for name in ["short", "gone", "spoiled"] {
        let path = Path::from(format!("tables/T/{name}.parquet"));
        assert_eq!(rig.remote.store.head(&path).await.unwrap().size, 1000, "the listing lies");
        let proven = rig.remote.prove(&path, &expected).await;
        let error = proven.expect_err(name);
        assert!(error.kind() == Kind::Damage || error.is_temporary(), "{name}: {}", words(&error));
    }
    rig.remote.prove(&"tables/T/sound.parquet".into(), &expected).await.unwrap();
    // With the source's data at hand it is uploaded again.
    let path = Path::from("tables/T/short.parquet");
    rig.remote.store.get(&path).await.unwrap();
    assert_eq!(rig.put(path.as_ref(), &bytes(1000)).await.unwrap(), Stored::Uploaded);
    rig.remote.prove(&path, &expected).await.unwrap();
}

#[tokio::test]
async fn row_29_every_form_of_href() {
    for hrefs in [Hrefs::Nextcloud, Hrefs::Absolute, Hrefs::UpperHex, Hrefs::Raw] {
        for base in ["", "/my cloud"] {
            if hrefs == Hrefs::Absolute && !base.is_empty() {
                continue;
            }
            let rig = Rig::with(Options { hrefs, base: base.replace(' ', "-"), ..Options::default() }).await;
            let wanted = fill(&rig);
            assert_eq!(names(&rig).await.unwrap(), wanted, "{hrefs:?} {base}");
            for name in &wanted {
                assert_eq!(rig.remote.store.head(&Path::parse(name).unwrap()).await.unwrap().size, 7);
            }
        }
    }
}

#[tokio::test]
async fn row_30_a_listing_without_itself_or_with_strangers() {
    let rig = Rig::new().await;
    let wanted = fill(&rig);
    let without_first = |text: String| match (text.find("<d:response>"), text.find("</d:response>")) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + "</d:response>".len()..]),
        _ => text,
    };
    let depth_one = |text: String| text.matches("<d:response>").count() > 1;
    rig.server.inject(Fault::every(
        "PROPFIND",
        Action::rewrite(move |text| if depth_one(text.clone()) { without_first(text) } else { text }),
    ));
    assert_eq!(names(&rig).await.unwrap(), wanted);
    rig.server.heal();
    let strange =
        ["/elsewhere/x", "/remote.php/dav/files/other/till/y", "/remote.php/dav/files/kitchen/tillx/z", "%ff%", ""];
    let strangers: String = strange
        .iter()
        .filter(|href| !href.is_empty())
        .map(|href| {
            format!(
                "<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype/><d:getcontentlength>1</d:getcontentlength>\
                 </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
            )
        })
        .collect();
    rig.server.inject(Fault::every(
        "PROPFIND",
        Action::rewrite(move |text| text.replace("</d:multistatus>", &format!("{strangers}</d:multistatus>"))),
    ));
    assert_eq!(names(&rig).await.unwrap(), wanted);
}

/// More objects than a page holds.
fn fill_pages(rig: &Rig) -> usize {
    let many = 450;
    for n in 0..many {
        rig.server.store(&format!("till/tables/T/{n:05}.parquet"), "x");
    }
    many
}

#[tokio::test]
async fn row_31_pages_are_lost_or_do_not_add_up() {
    let rig = Rig::new().await;
    let many = fill_pages(&rig);
    let listed = |rig: &Rig| {
        let store = std::sync::Arc::clone(&rig.remote.store);
        async move { store.list_with_delimiter(Some(&Path::from("tables/T"))).await.unwrap().objects.len() }
    };
    assert_eq!(listed(&rig).await, many);
    assert!(
        rig.server.log().iter().any(|entry| entry.header("x-nc-paginate-offset").is_some()),
        "it came in pages: {:?}",
        story(&rig.server.log())
    );
    // The cache forgets the token between two pages.
    rig.server.inject(Fault::next("PROPFIND", Action::Before(Event::CacheIsFlushed)).nth(2));
    assert_eq!(listed(&rig).await, many);
    // A page lacks an entry: the sum is not the total.
    let rig = Rig::new().await;
    fill_pages(&rig);
    let shorter = |text: String| match (text.find("<d:response>"), text.find("</d:response>")) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + "</d:response>".len()..]),
        _ => text,
    };
    rig.server.inject(Fault::next("PROPFIND", Action::rewrite(shorter)).nth(2));
    rig.server.take_log();
    assert_eq!(listed(&rig).await, many);
    let last = rig.server.log().pop().unwrap();
    assert_eq!(last.header("x-nc-paginate"), None, "the folder was asked for at once");
    // A server before 31 knows no pages.
    let rig = Rig::with(Options { version: 30, ..Options::default() }).await;
    fill_pages(&rig);
    assert_eq!(listed(&rig).await, many);
    assert_eq!(count(&rig.server.log(), "PROPFIND"), 1);
}

#[tokio::test]
async fn row_36_the_room_is_not_known_or_stale() {
    for told in [-1, -2, -3] {
        let rig = Rig::with(Options { quota_told: Some(told), ..Options::default() }).await;
        assert_eq!(rig.remote.quota().await.unwrap(), None, "{told}");
        rig.put("tables/T/a.parquet", &bytes(10)).await.unwrap();
    }
    // Stale: nothing left, it says; the upload is tried all the same.
    let rig = Rig::with(Options { quota_told: Some(0), ..Options::default() }).await;
    rig.put("tables/T/a.parquet", &bytes(10)).await.unwrap();
    let rig = Rig::with(Options { quota: Some(5000), ..Options::default() }).await;
    rig.put("tables/T/a.parquet", &bytes(1000)).await.unwrap();
    let quota = rig.remote.quota().await.unwrap().unwrap();
    assert_eq!((quota.used, quota.free), (Some(1000), 4000));
}
