//! A disk that is full, files that may not grow, a folder that cannot be written: a clear error, nothing lost, and the run
//! completes when there is space again.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use tillvault::{
    archive::Archive,
    error::{Error, Kind},
    model::table::TableName,
};

use crate::{
    child,
    scene::states,
    scripted_till::{
        Cell, Rows, State,
        archives::take,
        held::{Held, Reader, files},
    },
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A state with about two megabytes that do not shrink.
fn large() -> State {
    let mut state = states()[1].clone();
    let mut images = Rows::new(TableName::dbo("Images"), &[("Id", "int"), ("Data", "varbinary(max)")], &["Id"]);
    let mut noise = blake3::Hasher::new().finalize_xof();
    for id in 0..20 {
        let mut bytes = vec![0; 100_000];
        noise.fill(&mut bytes);
        // A block each.
        images.rows.push(vec![(id * 4_096 + 1).into(), Cell::Bytes(bytes)]);
    }
    state.tables.insert("Images".into(), images);
    state
}

fn held(states: &[State]) -> Held {
    (1..).zip(states.iter().cloned().map(State::sorted)).collect()
}

fn assert_nothing_lost(archive: &Archive, states: &[State]) {
    let listed = Reader::default().assert_whole(archive, &held(states));
    assert_eq!(listed.len(), states.len());
}

/// Asserts that a snapshot failed for want of space, and that what was there is there.
fn assert_full(error: &Error, words: &str) {
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 1), "{error}");
    assert!(error.message().contains(words) && error.message().starts_with("tables/Images/"), "{error}");
    assert!(error.next_step().is_some(), "{error}");
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    assert!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The child, in mounts of its own.
pub(crate) fn inside() {
    let root = child::root();
    let place = root.to_str().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=1M", "tmpfs", place]);
    Archive::create(&root, "Test").unwrap();
    let archive = Archive::open(&root).unwrap();
    let runtime = runtime();
    let (small, large) = (states()[0].clone(), large());
    runtime.block_on(take(&archive, &small)).unwrap();

    assert_full(&runtime.block_on(take(&archive, &large)).unwrap_err(), "the disk is full");
    assert_nothing_lost(&archive, std::slice::from_ref(&small));
    // And again: what the first try left behind makes nothing worse.
    assert_full(&runtime.block_on(take(&archive, &large)).unwrap_err(), "the disk is full");
    assert_nothing_lost(&archive, std::slice::from_ref(&small));

    mount(&["-o", "remount,size=16M", place]);
    assert_eq!(runtime.block_on(take(&archive, &large)).unwrap().snapshot, 2);
    assert_nothing_lost(&archive, &[small.clone(), large.clone()]);
    assert!(!files(&root).iter().any(|name| name.contains('#')));

    mount(&["-o", "remount,ro", place]);
    let error = runtime.block_on(take(&archive, &states()[2])).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.message().contains("the disk is read-only"), "{error}");
    assert_nothing_lost(&archive, &[small, large]);
    eprintln!("all of it was seen");
}

fn expect_seen(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("all of it was seen"), "{told}");
}

#[test]
fn a_full_disk_and_a_read_only_one_lose_nothing() {
    let able = Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|output| output.status.success());
    if !able {
        eprintln!("skipped: a full and a read-only disk, since `unshare -rm` does not work here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.arg("-rm").arg(env::current_exe().unwrap());
    child::arguments(&mut command);
    child::set(&mut command, "disk", folder.path());
    expect_seen(&command.output().unwrap());
}

/// The child: one snapshot, whose failure it tells as `kind: message`.
pub(crate) fn take_as_told() {
    let archive = Archive::open(&child::root()).unwrap();
    match runtime().block_on(take(&archive, &large())) {
        Ok(taken) => eprintln!("told: snapshot {}", taken.snapshot),
        Err(error) => eprintln!("told: {:?}: {error}", error.kind()),
    }
}

fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("told: "))
        .unwrap_or_else(|| panic!("nothing told: {text}"))
        .to_owned()
}

fn with_one_snapshot(root: &Path) -> (Archive, State) {
    let archive = Archive::create(root, "Test").unwrap();
    let small = states()[0].clone();
    runtime().block_on(take(&archive, &small)).unwrap();
    (archive, small)
}

#[test]
fn files_that_may_not_grow_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, small) = with_one_snapshot(folder.path());
    // 64 blocks of 512 bytes; the signal that comes with the limit is ignored, so that the write fails instead.
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"").arg(env::current_exe().unwrap());
    child::arguments(&mut command);
    child::set(&mut command, "take", folder.path());
    let told = told(&command.output().unwrap());
    assert!(told.starts_with("Store: tables/Images/") && told.contains("too large for this disk"), "{told}");
    assert_nothing_lost(&archive, std::slice::from_ref(&small));
    let large = large();
    assert_eq!(runtime().block_on(take(&archive, &large)).unwrap().snapshot, 2);
    assert_nothing_lost(&archive, &[small, large]);
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    // Where the tests run as root, the child must not: root may write everywhere.
    let as_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let other_user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    if as_root && !Command::new("setpriv").args(other_user).arg("true").output().is_ok_and(|out| out.status.success()) {
        eprintln!(
            "skipped: a folder without permission to write, since the tests run as root and `setpriv` does not work"
        );
        return;
    }
    let open = fs::Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    let (archive, small) = with_one_snapshot(folder.path());
    let mut command = if as_root {
        let mut command = Command::new("setpriv");
        command.args(other_user).arg(env::current_exe().unwrap());
        command
    } else {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(folder.path().join(".lock"), fs::Permissions::from_mode(0o444)).unwrap();
        Command::new(env::current_exe().unwrap())
    };
    child::arguments(&mut command);
    child::set(&mut command, "take", folder.path());
    let told = told(&command.output().unwrap());
    assert!(told.starts_with("Store: ") && told.contains("permission denied"), "{told}");
    assert_nothing_lost(&archive, std::slice::from_ref(&small));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}
