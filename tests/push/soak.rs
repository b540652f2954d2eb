//! Two hundred pushes with random faults: afterwards remote and archive agree, and nothing was uploaded twice without need.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tillvault::{
    observe::silent,
    ops::{
        check::{
            Part,
            remote::{RemoteCheckOptions, check_remote},
        },
        push::{PushOptions, push},
    },
};

use crate::{
    budgets::Cloud,
    double::{Action, Fault},
    site::{chain, snapshot},
};

const PUSHES: u32 = 200;

/// A fault that passes: each of them leaves the server in order, or in a state that the client has to find out about.
fn fault(random: &mut ChaCha8Rng) -> Fault {
    let methods = ["PUT", "PUT", "PUT", "PROPFIND", "GET", "PATCH", "MKCOL", "DELETE"];
    let method = methods[random.random_range(0..methods.len())];
    let action = match (method, random.random_range(0..9)) {
        ("PUT", 0) => Action::CutAfter(random.random_range(0..400)),
        ("PUT", 1) => Action::CutVisible(random.random_range(0..400)),
        ("PUT", 2) => Action::CorruptReceived,
        ("PUT", 3) => Action::Lock(Duration::from_millis(3)),
        (_, 4 | 5) => Action::DropAnswer,
        (_, 6) => Action::html(504, "Gateway Time-out"),
        (_, 7) => Action::status(500),
        _ => Action::Cut,
    };
    Fault::next(method, action).nth(random.random_range(1..6)).times(random.random_range(1..4))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_pushes_with_faults_end_in_agreement() {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let cloud = Cloud::new().await;
    let mut tables: BTreeMap<String, i32> = (0..6).map(|number| (format!("Table{number}"), 30)).collect();
    let (mut failed, mut uploaded) = (0, 0);
    for round in 0..PUSHES {
        if round % 3 == 0 {
            for rows in tables.values_mut() {
                *rows += if random.random_range(0..3) == 0 { random.random_range(1..40) } else { 0 };
            }
            let now: Vec<(&str, i32)> = tables.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
            snapshot(&cloud.archive, &now).await;
        }
        for _ in 0..random.random_range(0..3) {
            cloud.double.inject(fault(&mut random));
        }
        match push(&cloud.archive, &cloud.remote(), &PushOptions::default(), &silent()).await {
            Ok(pushed) => uploaded += pushed.uploaded,
            Err(error) => {
                failed += 1;
                assert!(error.is_temporary() || error.exit_code() == 1, "{}", chain(&error));
            }
        }
        // Whatever happened: what is listed there is complete.
        cloud.assert_snapshots_complete();
    }
    cloud.double.heal();
    push(&cloud.archive, &cloud.remote(), &PushOptions::default(), &silent()).await.unwrap();
    cloud.assert_mirrored();
    let all = RemoteCheckOptions { read_data: Some(Part::ALL), ..RemoteCheckOptions::default() };
    let checked = check_remote(&cloud.archive, &cloud.remote(), &all, &silent()).await.unwrap();
    assert!(checked.check.findings.is_empty(), "{:?}", checked.check.findings);

    // An object is stored once, and once more only after it was removed as broken.
    let (mut stored, mut again) = (HashSet::new(), HashMap::<String, u32>::new());
    for logged in cloud.double.take_log() {
        assert!(!logged.lacks_length(), "{}", logged.short());
        match (logged.method.as_str(), logged.status) {
            ("PUT", Some(201 | 204)) if !logged.is_staging() && !stored.insert(logged.path.clone()) => {
                *again.entry(logged.path).or_default() += 1;
            }
            ("DELETE", _) => {
                stored.remove(&logged.path);
            }
            _ => {}
        }
    }
    again.retain(|path, _| !path.contains("probe"));
    assert!(again.is_empty(), "stored twice: {again:?}");
    assert!(uploaded > 100 && failed > 5, "{uploaded} uploaded, {failed} pushes failed");
}
