//! Children: this test binary again, with one test and its orders in the environment. They are killed, or hold a lock, or run
//! where the disk is special; nothing is proved in here.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::kill;

const ORDER: &str = "CRASH_CHILD";

/// A command that runs this binary as a child with the given order.
pub(crate) fn command(order: &str, root: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    arguments(&mut command);
    set(&mut command, order, root);
    command
}

/// The arguments that make this binary a child.
pub(crate) fn arguments(command: &mut Command) {
    command.args(["--ignored", "--exact", "child::child", "--nocapture", "--test-threads=1"]);
}

/// The environment that tells it what to do.
pub(crate) fn set(command: &mut Command, order: &str, root: &Path) {
    command
        .env(ORDER, order)
        .env("CRASH_ROOT", root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// A word of the orders.
pub(crate) fn word(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The archive's folder.
pub(crate) fn root() -> PathBuf {
    word("CRASH_ROOT").into()
}

#[test]
#[ignore = "the other tests start it as a child"]
fn child() {
    match env::var(ORDER).as_deref() {
        Ok("act") => kill::act_as_told(),
        Ok("hold") => crate::locks::hold_as_told(),
        Ok("disk") => crate::disk::inside(),
        Ok("take") => crate::disk::take_as_told(),
        Ok(other) => panic!("no such order: {other}"),
        Err(_) => eprintln!("skipped: not started as a child"),
    }
}
