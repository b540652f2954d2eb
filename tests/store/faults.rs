//! One injected fault each (WEBDAV §9): what the store asks for, and what is on the server in the end.

use bytes::Bytes;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, path::Path};
use tillvault::{
    demo::webdav::{Action, Fault, WebDavOptions, WebDavServer},
    error::Kind,
    store::webdav::{LARGEST, WebDav},
};

use super::{PASSWORD, chain, content, megabyte, put, settings, start, story};

#[tokio::test]
async fn a_put_cut_before_anything_was_stored_is_looked_at_and_sent_again() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::Cut));
    put(&store, "chunk", &megabyte()).await.unwrap();
    assert_eq!(content(&store, "chunk").await, megabyte());
    let puts: Vec<_> = server.requests().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(story(&puts), ["PUT cut", "PUT 201"]);
    assert!(puts.iter().all(|put| put.header("if-none-match") == Some("*") && put.content_length == Some(1_000_000)));
    assert_eq!(story(&server.requests())[1], "PROPFIND 404", "it looks before it sends again");
}

#[tokio::test]
async fn a_put_cut_half_way_leaves_no_half_object() {
    for after in [1, 300_000, 999_999] {
        let (server, store) = start().await;
        put(&store, "t/first", &"x".into()).await.unwrap();
        server.take_requests();
        server.inject(Fault::next("PUT", Action::CutUpload(after)));
        put(&store, "t/chunk", &megabyte()).await.unwrap();
        assert_eq!(content(&store, "t/chunk").await, megabyte());
        let requests = server.requests();
        let delete = requests.iter().find(|request| request.method == "DELETE").expect("the leftover is deleted");
        assert!(delete.header("if-match").is_some() && delete.header("x-nc-skip-trashbin") == Some("true"));
        assert_eq!(story(&requests).iter().filter(|line| line.starts_with("PUT")).count(), 2);
    }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_not_sent_twice() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::LoseAnswer));
    put(&store, "chunk", &megabyte()).await.unwrap();
    assert_eq!(story(&server.requests()), ["PUT cut", "PROPFIND 207"]);
    assert_eq!(content(&store, "chunk").await, megabyte());
}

#[tokio::test]
async fn a_failed_upload_never_deletes_somebody_elses_object() {
    let (server, store) = start().await;
    put(&store, "chunk", &"somebody else's".into()).await.unwrap();
    server.inject(Fault::next("PUT", Action::Cut));
    let error = put(&store, "chunk", &megabyte()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(content(&store, "chunk").await, "somebody else's");
}

#[tokio::test]
async fn an_upload_that_fails_for_good_takes_its_leftover_away() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::CutUpload(1000)).times(100));
    let (error, text) = chain(put(&store, "chunk", &megabyte()).await.unwrap_err());
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{text}");
    assert!(matches!(store.head(&Path::from("chunk")).await.unwrap_err(), Error::NotFound { .. }));
    let puts = server.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 4, "tries are bounded");
}

#[tokio::test]
async fn troubles_that_pass_are_waited_for() {
    for status in [423, 500, 502, 503, 504] {
        let (server, store) = start().await;
        server.inject(Fault::next("PUT", Action::status(status)).times(2));
        put(&store, "chunk", &"x".into()).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        server.inject(Fault::next("GET", Action::status(status)).times(2));
        assert_eq!(content(&store, "chunk").await, "x");
        server.inject(Fault::next("PROPFIND", Action::status(status)).times(2));
        store.list_with_delimiter(None).await.unwrap();
        server.inject(Fault::next("DELETE", Action::status(status)).times(2));
        store.delete(&Path::from("chunk")).await.unwrap();
    }
}

#[tokio::test]
async fn troubles_that_need_somebody_are_reported_at_once() {
    let xml = |exception: &str, message: &str| {
        format!(
            "<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\"><s:exception>{exception}</s:exception><s:message>{message}</s:message></d:error>"
        )
    };
    let cases = [
        (403, xml("Forbidden", "no write permission"), Kind::Store, 1, "no write permission"),
        (413, "<html>too large</html>".into(), Kind::Store, 1, "limits the size"),
        (429, String::new(), Kind::Store, 75, "wait half an hour"),
        (503, xml("ServerMaintenanceMode", "System is in maintenance mode."), Kind::Store, 75, "maintenance mode"),
        (503, xml("ServiceUnavailable", "Account disabled"), Kind::Credentials, 12, "disabled"),
        (507, xml("InsufficientStorage", "quota"), Kind::Store, 1, "quota"),
        (401, String::new(), Kind::Credentials, 12, "app password"),
    ];
    for (status, body, kind, exit, words) in cases {
        let (server, store) = start().await;
        let headers = vec![("content-type", "application/xml".to_owned())];
        server.inject(Fault::next("PUT", Action::Answer { status, headers, body }));
        let (error, text) = chain(put(&store, "chunk", &"x".into()).await.unwrap_err());
        assert_eq!((error.kind(), error.exit_code()), (kind, exit), "{status}: {text}");
        assert!(text.contains(words), "{status}: {text}");
        assert_eq!(server.requests().len(), 1, "{status} was tried again");
    }
}

#[tokio::test]
async fn missing_parents_are_made_whether_the_server_says_404_or_409() {
    for status in [404, 409] {
        let (server, store) = start().await;
        server.inject(Fault::next("PUT", Action::status(status)));
        put(&store, "a/b/c/chunk", &"x".into()).await.unwrap();
        assert_eq!(content(&store, "a/b/c/chunk").await, "x");
        server.take_requests();
        put(&store, "a/b/c/other", &"x".into()).await.unwrap();
        assert_eq!(story(&server.requests()), ["PUT 201"], "known folders cost nothing");
    }
}

#[tokio::test]
async fn a_folder_that_vanished_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let options = WebDavOptions { root: Some(root.path().into()), ..WebDavOptions::default() };
    let server = WebDavServer::start(options).await.unwrap();
    let store = WebDav::new(&settings(&server.url().join("till").unwrap(), PASSWORD)).unwrap();
    put(&store, "t/one", &"x".into()).await.unwrap();
    std::fs::remove_dir_all(root.path().join("till")).unwrap();
    // The server in use here answers 412.
    put(&store, "t/two", &"x".into()).await.unwrap();
    assert_eq!(content(&store, "t/two").await, "x");
    // Nextcloud's answer.
    std::fs::remove_dir_all(root.path().join("till")).unwrap();
    server.inject(Fault::next("PUT", Action::status(404)));
    put(&store, "t/three", &"x".into()).await.unwrap();
    assert_eq!(content(&store, "t/three").await, "x");
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_is_said_and_kept() {
    let (server, store) = start().await;
    put(&store, "tables", &"a file".into()).await.unwrap();
    server.inject(Fault::next("PUT", Action::status(409)));
    server.inject(Fault::next("MKCOL", Action::status(405)));
    let (_, text) = chain(put(&store, "tables/chunk", &"x".into()).await.unwrap_err());
    assert!(text.contains("a file stands where the folder"), "{text}");
    assert_eq!(content(&store, "tables").await, "a file");
}

#[tokio::test]
async fn uploads_side_by_side_make_a_folder_once() {
    let (server, store) = start().await;
    put(&store, "known", &"x".into()).await.unwrap();
    server.take_requests();
    let uploads = (0..6).map(|n| {
        let store = store.clone();
        async move { put(&store, &format!("t/{n}"), &"x".into()).await }
    });
    for result in futures::future::join_all(uploads).await {
        result.unwrap();
    }
    let made = server.requests().iter().filter(|request| request.method == "MKCOL").count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_listing_that_is_cut_off_is_an_error_and_never_empty() {
    let (server, store) = start().await;
    for n in 0..5 {
        put(&store, &format!("t/{n}"), &"x".into()).await.unwrap();
    }
    let folder = Path::from("t");
    for after in [0, 40, 200, 700] {
        server.inject(Fault::next("PROPFIND", Action::ShortAnswer(after)));
        let (_, text) = chain(store.list_with_delimiter(Some(&folder)).await.unwrap_err());
        assert!(text.contains("listing"), "{text}");
        server.inject(Fault::next("PROPFIND", Action::ShortAnswer(after.min(200))));
        assert!(!matches!(store.head(&Path::from("t/1")).await.unwrap_err(), Error::NotFound { .. }));
    }
    // A broken connection is another matter: the listing is asked for again.
    server.inject(Fault::next("PROPFIND", Action::CutAnswer(300)));
    assert_eq!(store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len(), 5);
}

#[tokio::test]
async fn a_listing_of_another_folder_is_an_error() {
    let (server, store) = start().await;
    let foreign = "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\"><d:response><d:href>/remote.php/dav/files/Kitchen/</d:href>\
        <d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>\
        </d:response></d:multistatus>";
    let headers = vec![("content-type", "application/xml".to_owned())];
    server.inject(Fault::next("PROPFIND", Action::Answer { status: 207, headers, body: foreign.into() }));
    let (_, text) = chain(store.list_with_delimiter(None).await.unwrap_err());
    assert!(text.contains("other folders than the one asked for"), "{text}");
}

#[tokio::test]
async fn a_server_that_ignores_ranges_gives_the_range_all_the_same() {
    let (server, store) = start().await;
    put(&store, "chunk", &"0123456789".into()).await.unwrap();
    let whole = Action::Answer { status: 200, headers: Vec::new(), body: "0123456789".into() };
    server.inject(Fault::next("GET", whole));
    let result = store.get_opts(&Path::from("chunk"), GetOptions::new().with_range(Some(3..6))).await.unwrap();
    assert_eq!((result.range.clone(), result.meta.size), (3..6, 10));
    assert_eq!(result.bytes().await.unwrap(), "345");
}

#[tokio::test]
async fn replacing_never_puts_over_the_old_object_and_survives_a_lost_answer() {
    let (server, store) = start().await;
    let path = Path::from("index/chunks.parquet");
    store.put(&path, "old".into()).await.unwrap();
    server.take_requests();
    server.inject(Fault::next("MOVE", Action::LoseAnswer));
    store.put(&path, "newer".into()).await.unwrap();
    assert_eq!(content(&store, path.as_ref()).await, "newer");
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.method != "PUT" || !request.path.ends_with(".parquet")),
        "{requests:?}"
    );
    let moved = requests.iter().find(|request| request.method == "MOVE").unwrap();
    assert_eq!(moved.header("overwrite"), Some("T"));

    // When the MOVE is refused the old object stays and the temporary one goes.
    server.inject(Fault::next("MOVE", Action::status(403)));
    assert!(store.put(&path, "newest".into()).await.is_err());
    assert_eq!(content(&store, path.as_ref()).await, "newer");
    let listed = store.list_with_delimiter(Some(&Path::from("index"))).await.unwrap();
    assert_eq!(listed.objects.len(), 1, "{:?}", listed.objects);
}

#[tokio::test]
async fn an_object_over_the_limit_is_refused_before_anything_is_sent() {
    let (server, store) = start().await;
    let mut upload = store.put_multipart(&Path::from("huge")).await.unwrap();
    let part: Bytes = vec![0; LARGEST / 2].into();
    upload.put_part(part.clone().into()).await.unwrap();
    upload.put_part(part.into()).await.unwrap();
    assert!(upload.put_part("one more".into()).await.is_err());
    let (_, text) = chain(upload.complete().await.unwrap_err());
    assert!(text.contains(&LARGEST.to_string()), "{text}");
    assert!(server.requests().is_empty());
}
