//! Every single call of the store fails once: before it did anything, after it did everything (the answer was lost), or it and all
//! that follow.

use std::sync::Arc;

use tillvault::{
    error::Kind,
    store::fault::{Faults, Faulty},
};

use crate::{
    scene::{Act, Scene},
    scripted_till::{archives::open, held::Reader},
};

async fn at_every_call(act: Act) {
    let scene = Scene::build(act).await;
    let mut reader = Reader::default();
    let mut failed = 0;
    let kinds: [(&str, fn(u64) -> Arc<Faults>); 3] = [
        ("fails", Faults::at_call),
        ("does its work and fails", Faults::answer_lost_at),
        ("and all after it fail", Faults::from_call),
    ];
    for (how, faults) in kinds {
        for call in 1..=scene.calls {
            let what = format!("{act:?}: call {call} {how}");
            let folder = scene.copy();
            let archive = open(folder.path(), |store| Arc::new(Faulty::new(store, faults(call))));
            if let Err(error) = act.run(&archive).await {
                assert_eq!(error.kind(), Kind::Store, "{what}: {error}");
                failed += 1;
            }
            drop(archive);
            scene.assert_recovers(folder.path(), &mut reader, &what).await;
        }
    }
    // All but those of derived files must stop the run.
    eprintln!("{act:?}: {} calls, {failed} failures", scene.calls);
    assert!(failed + 3 * 2 >= 3 * scene.calls && failed > 0, "{failed} of {} failed", 3 * scene.calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_with_a_fault_at_every_call() {
    at_every_call(Act::Snapshot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_with_a_fault_at_every_call() {
    at_every_call(Act::Tag).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forget_with_a_fault_at_every_call() {
    at_every_call(Act::Forget).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_with_a_fault_at_every_call() {
    at_every_call(Act::Prune).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forget_and_prune_with_a_fault_at_every_call() {
    at_every_call(Act::ForgetAndPrune).await;
}
