//! An upload counts as stored when it is proven, and not before.

use object_store::path::Path;
use tillvault::{
    error::Kind,
    store::{
        is_taken,
        proof::{Expected, Proof, ReadBack, Trash},
        upload::Stored,
    },
};

use crate::{
    count,
    double::{Action, Double, Fault, Options},
    ready, some, story,
};

const CHUNK: &str = "tables/T/a.parquet";

fn chunk() -> Path {
    Path::from(CHUNK)
}

#[tokio::test]
async fn one_request_stores_and_proves() {
    let (double, remote) = ready(Options::default()).await;
    remote.put_new(&Path::from("tables/T/first.parquet"), some(9)).await.unwrap();
    double.take_log();
    assert_eq!(remote.put_proven(&chunk(), some(900)).await.unwrap(), (Stored::Uploaded, Proof::Received));
    let log = double.take_log();
    assert_eq!(story(&log), ["PUT 201"]);
    assert_eq!(log[0].header("if-none-match"), Some("*"));
    assert_eq!(log[0].content_length, Some(900));
    assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(900));
}

#[tokio::test]
async fn what_arrives_altered_is_deleted_and_sent_again_but_not_for_ever() {
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("PUT", Action::CorruptReceived).on("*.parquet"));
    assert_eq!(remote.put_new(&chunk(), some(900)).await.unwrap(), Stored::Uploaded);
    assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(900));
    assert!(double.trash().is_empty(), "our own rubbish does not fill the trash bin");

    double.take_log();
    double.inject(Fault::every("PUT", Action::CorruptReceived).on("*.parquet"));
    let error = remote.put_new(&Path::from("tables/T/b.parquet"), some(900)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("corruption in transit"), "{cause}");
    assert_eq!(count(&double.log(), "PUT"), 2);
    assert!(double.content("till/tables/T/b.parquet").is_none(), "nothing wrong stays");
}

#[tokio::test]
async fn after_a_lost_answer_the_storage_is_asked_and_nothing_is_sent_twice() {
    let (double, remote) = ready(Options::default()).await;
    double.folder("till/tables/T");
    double.inject(Fault::next("PUT", Action::DropAnswer).on("*.parquet"));
    assert_eq!(remote.put_proven(&chunk(), some(900)).await.unwrap(), (Stored::Uploaded, Proof::Rehashed));
    let log = double.take_log();
    let stored = log.iter().filter(|request| request.method == "PUT" && request.received == 900).count();
    assert_eq!(stored, 1, "{:?}", story(&log));
    assert_eq!(count(&log, "PATCH"), 1);
}

#[tokio::test]
async fn an_existing_object_is_ours_only_when_its_content_is() {
    let (double, remote) = ready(Options::default()).await;
    double.store(&format!("till/{CHUNK}"), some(900));
    assert_eq!(remote.put_proven(&chunk(), some(900)).await.unwrap(), (Stored::Present, Proof::Rehashed));
    // The disk has changed it behind the server's back.
    double.corrupt(&format!("till/{CHUNK}"));
    let error = remote.put_new(&chunk(), some(900)).await.unwrap_err();
    assert!(is_taken(&error), "{error}");
    assert!(double.content(&format!("till/{CHUNK}")).is_some(), "what may be another's is not deleted");
    // Another length that is no beginning of ours.
    double.store("till/tables/T/b.parquet", "something else");
    assert!(is_taken(&remote.put_new(&Path::from("tables/T/b.parquet"), some(900)).await.unwrap_err()));
    // A beginning of ours is the rest of a broken upload.
    double.store("till/tables/T/c.parquet", some(400));
    assert_eq!(remote.put_new(&Path::from("tables/T/c.parquet"), some(900)).await.unwrap(), Stored::Uploaded);
    assert_eq!(double.content("till/tables/T/c.parquet").unwrap(), some(900));
}

#[tokio::test]
async fn a_cut_upload_that_stays_visible_is_replaced_and_proven() {
    for after in [0, 1, 899] {
        let (double, remote) = ready(Options::s3()).await;
        double.inject(Fault::next("PUT", Action::CutVisible(after)).on("*.parquet"));
        assert_eq!(remote.put_proven(&chunk(), some(900)).await.unwrap(), (Stored::Uploaded, Proof::Rehashed));
        assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(900));
        assert!(double.trash().is_empty());
    }
}

#[tokio::test]
async fn a_server_without_hashes_is_read_back_as_far_as_the_policy_goes() {
    let (double, mut remote) = ready(Options { x_hash: false, patch_hash: false, ..Options::default() }).await;
    assert_eq!(remote.put_proven(&chunk(), some(900)).await.unwrap().1, Proof::ReadBack);
    assert_eq!(count(&double.take_log(), "GET"), 1);
    remote.read_back = ReadBack { up_to: 100 };
    let other = Path::from("tables/T/b.parquet");
    assert_eq!(remote.put_proven(&other, some(900)).await.unwrap().1, Proof::Length);
    let snapshot = Path::from("snapshots/000001.json.zst");
    assert_eq!(remote.put_proven(&snapshot, some(900)).await.unwrap().1, Proof::ReadBack, "always read back");
    // Reading that breaks off is tried again.
    double.inject(Fault::next("GET", Action::CutAnswer(20)).on("*.zst"));
    let snapshot = Path::from("snapshots/000003.json.zst");
    assert_eq!(remote.put_proven(&snapshot, some(900)).await.unwrap().1, Proof::ReadBack);
    // A lie is found out by reading.
    double.inject(Fault::every("PUT", Action::CorruptStored).on("*.zst"));
    remote.put_new(&Path::from("snapshots/000002.json.zst"), some(900)).await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_would_overwrite_is_given_another_name_first() {
    let (double, remote) = ready(Options { conditions: false, ..Options::default() }).await;
    assert_eq!(remote.put_new(&chunk(), some(900)).await.unwrap(), Stored::Uploaded);
    assert_eq!(remote.put_new(&chunk(), some(900)).await.unwrap(), Stored::Present);
    assert!(is_taken(&remote.put_new(&chunk(), vec![1; 901].into()).await.unwrap_err()));
    assert!(is_taken(&remote.put_new(&chunk(), vec![1; 900].into()).await.unwrap_err()));
    assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(900));
    let names: Vec<_> = double.files().into_keys().collect();
    assert_eq!(names, [format!("till/{CHUNK}")], "no temporary name stays");
    assert!(double.log().iter().all(|request| request.method != "PUT" || !request.path.ends_with(".parquet")));
}

#[tokio::test]
async fn a_check_tells_damage_from_trouble() {
    let (double, remote) = ready(Options::default()).await;
    let (name, expected) = (format!("till/{CHUNK}"), Expected::of(&some(900)).await);
    remote.put_new(&chunk(), some(900)).await.unwrap();
    assert_eq!(remote.hash_at(&chunk()).await.unwrap(), Some(expected.sha256));
    assert_eq!(remote.prove(&chunk(), &expected).await.unwrap(), Proof::Rehashed);
    double.inject(Fault::every("PATCH", Action::status(503)));
    assert_eq!(remote.prove(&chunk(), &expected).await.unwrap_err().kind(), Kind::Store);
    double.heal();
    let damages: [fn(&Double, &str); 3] = [
        |double, name| double.corrupt(name),
        |double, name| double.truncate(name, 5),
        |double, name| double.lose(name),
    ];
    for damage in damages {
        damage(&double, &name);
        assert_eq!(remote.prove(&chunk(), &expected).await.unwrap_err().kind(), Kind::Damage);
    }
    remote.remove(&chunk(), Trash::Keep).await.unwrap();
    assert_eq!(remote.prove(&chunk(), &expected).await.unwrap_err().kind(), Kind::Damage);
}

#[tokio::test]
async fn what_is_removed_goes_to_the_trash_unless_told_otherwise() {
    let (double, remote) = ready(Options::default()).await;
    for (name, trash) in [("a", Trash::Keep), ("b", Trash::Skip)] {
        remote.put_new(&Path::from(name), some(9)).await.unwrap();
        remote.remove(&Path::from(name), trash).await.unwrap();
        remote.remove(&Path::from(name), trash).await.unwrap();
    }
    assert_eq!(double.trash().len(), 1);
    // What is locked is left for another time, soon.
    remote.put_new(&Path::from("c"), some(9)).await.unwrap();
    double.inject(Fault::every("DELETE", Action::status(423)));
    assert!(remote.remove(&Path::from("c"), Trash::Keep).await.unwrap_err().is_temporary());
}

#[tokio::test]
async fn an_answer_that_says_replaced_is_not_believed_and_remembered() {
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("PUT", Action::status(204)).on("*.parquet"));
    assert_eq!(remote.put_new(&chunk(), some(900)).await.unwrap(), Stored::Uploaded);
    assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(900));
    assert!(!remote.profile().conditional_put, "from now on nothing is put under its own name");
}
