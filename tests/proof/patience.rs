//! A server that asks for time gets it, one that refuses is not asked again.

use std::time::{Duration, Instant};

use object_store::{ObjectStoreExt, path::Path};
use tillvault::{
    error::Kind,
    store::{Remote, webdav::WebDav},
};

use crate::{
    count,
    double::{Action, Double, Event, Fault, Logged, Options},
    ready, some,
};

async fn side_by_side(remote: &Remote, uploads: usize) -> Vec<tillvault::error::Result<()>> {
    let uploads = (0..uploads).map(|n| {
        let remote = remote.clone();
        async move { remote.put_new(&Path::from(format!("tables/T/{n}.parquet")), some(300)).await.map(drop) }
    });
    futures::future::join_all(uploads).await
}

#[tokio::test]
async fn maintenance_is_waited_out_by_one_question_at_a_time() {
    let (double, remote) = ready(Options::default()).await;
    double.set_maintenance(true);
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        double.set_maintenance(false);
    };
    let (results, ()) = tokio::join!(side_by_side(&remote, 4), end);
    for result in results {
        result.unwrap();
    }
    assert_eq!(double.files().len(), 4);
    let log = double.take_log();
    let questions: Vec<&Logged> = log.iter().filter(|request| request.path.ends_with("status.php")).collect();
    assert!(
        (1..20).contains(&questions.len()) && questions.iter().all(|request| !request.signed),
        "{}",
        questions.len()
    );
}

#[tokio::test]
async fn maintenance_without_end_is_a_temporary_failure() {
    let (double, remote) = ready(Options::default()).await;
    double.set_maintenance(true);
    let started = Instant::now();
    for result in side_by_side(&remote, 3).await {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 75, "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn too_many_requests_pause_everybody_once() {
    let (double, remote) = ready(Options::default()).await;
    side_by_side(&remote, 1).await.pop().unwrap().unwrap();
    double.inject(Fault::next("PUT", Action::status(429)).times(3));
    let started = Instant::now();
    for result in side_by_side(&remote, 4).await {
        result.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(40));
    // The second time is the end.
    double.inject(Fault::every("PUT", Action::status(429)));
    double.take_log();
    let error = remote.put_new(&Path::from("tables/T/x.parquet"), some(3)).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{error:?}");
    double.take_log();
    remote.store.get(&Path::from("tables/T/0.parquet")).await.unwrap_err();
    assert!(double.take_log().is_empty(), "nothing is sent any more");
}

#[tokio::test]
async fn a_named_pause_is_kept_and_one_that_is_too_long_ends_the_run() {
    for (seconds, goes_on) in [("1", true), ("86400", false)] {
        let (double, remote) = ready(Options::default()).await;
        let headers = vec![("retry-after", seconds.to_owned())];
        double.inject(Fault::next("PUT", Action::Answer { status: 429, headers, body: String::new() }));
        let started = Instant::now();
        let result = remote.put_new(&Path::from("a.parquet"), some(3)).await;
        assert_eq!(result.is_ok(), goes_on, "{seconds}: {result:?}");
        assert_eq!(started.elapsed() >= Duration::from_secs(1), goes_on);
    }
}

#[tokio::test]
async fn a_refused_sign_in_stops_everybody_at_once() {
    for disabled in [false, true] {
        let double = Double::local().await;
        if disabled {
            double.set_disabled(true);
        } else {
            double.revoke();
        }
        let remote = crate::remote(&double, crate::quick());
        for result in side_by_side(&remote, 6).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::Credentials, "{error:?}");
        }
        let signed = double.log().iter().filter(|request| request.signed).count();
        assert_eq!(signed, 1, "disabled: {disabled}");
    }
}

#[tokio::test]
async fn a_password_that_is_taken_back_in_the_middle_costs_no_more_than_what_was_under_way() {
    let (double, remote) = ready(Options::default()).await;
    side_by_side(&remote, 2).await.into_iter().for_each(|result| result.unwrap());
    double.revoke();
    double.take_log();
    for result in side_by_side(&remote, 8).await {
        // Those that are there already, and all others.
        assert_eq!(result.unwrap_err().kind(), Kind::Credentials);
    }
    let refused = double.log().iter().filter(|request| request.status == Some(401)).count();
    assert!(refused <= 8, "{refused}");
    double.take_log();
    side_by_side(&remote, 3).await.into_iter().for_each(|result| drop(result.unwrap_err()));
    assert_eq!(double.log().len(), 0);
}

#[tokio::test]
async fn a_lock_is_waited_for_longer_than_a_handful_of_tries() {
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("PUT", Action::status(423)).times(12));
    remote.put_new(&Path::from("tables/T/a.parquet"), some(300)).await.unwrap();
    assert_eq!(count(&double.take_log(), "PUT"), 13);
}

#[tokio::test]
async fn a_listing_in_pages_is_whole_and_pages_that_do_not_add_up_are_thrown_away() {
    let (double, remote) = ready(Options::default()).await;
    for n in 0..40 {
        double.store(&format!("till/tables/T/{n:02}.parquet"), some(n));
    }
    let folder = Path::from("tables/T");
    let listed = remote.store.list_with_delimiter(Some(&folder)).await.unwrap().objects;
    let sizes: Vec<u64> = listed.iter().map(|meta| meta.size).collect();
    assert_eq!(sizes, (0..40).collect::<Vec<u64>>());
    assert_eq!(count(&double.take_log(), "PROPFIND"), 6, "41 entries, 7 a page");
    assert!(remote.profile().pages);

    // The server forgets its pages half way.
    double.inject(Fault::next("PROPFIND", Action::Before(Event::CacheIsFlushed)).nth(3));
    assert_eq!(remote.store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len(), 40);
    assert!(!remote.profile().pages, "they are not asked for again");
    // A page that is cut off, too.
    remote.probe().await.unwrap();
    assert!(remote.profile().pages);
    double.inject(Fault::next("PROPFIND", Action::ShortAnswer(700)).nth(3));
    assert_eq!(remote.store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len(), 40);
    assert!(!remote.profile().pages);
}

#[tokio::test]
async fn the_speed_limit_holds_and_may_be_lifted_meanwhile() {
    let (_double, remote) = ready(Options::default()).await;
    remote.put_new(&Path::from("first"), some(10)).await.unwrap();
    remote.throttle.set(20_000);
    let started = Instant::now();
    remote.put_new(&Path::from("a"), some(9_000)).await.unwrap();
    let slow = started.elapsed();
    assert!(slow >= Duration::from_millis(250), "{slow:?}");
    remote.throttle.set(0);
    let started = Instant::now();
    remote.put_new(&Path::from("b"), some(9_000)).await.unwrap();
    assert!(started.elapsed() < slow);
}

#[tokio::test]
async fn a_low_speed_limit_is_not_taken_for_a_line_that_stands_still() {
    let double = Double::local().await;
    let mut settings = crate::settings(&double);
    settings.timeouts.stall = Duration::from_millis(150);
    let remote = Remote::webdav("cloud", WebDav::tuned(&settings, crate::quick()).unwrap());
    remote.probe().await.unwrap();
    remote.throttle.set(1_000);
    let started = Instant::now();
    remote.put_new(&Path::from("a"), some(1_500)).await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(500));
    let sent = double.log().into_iter().filter(|request| request.method == "PUT" && request.path.ends_with("/till/a"));
    assert_eq!(sent.count(), 1);
}
