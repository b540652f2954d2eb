//! What goes wrong: with a request, or behind the server's back.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::double::{Action, Event, Fault};

/// A fault of some requests to come. It passes, and it leaves the server in order, in a state that a client has to find out about, or
/// with a chunk that only a check finds.
pub(super) fn fault(random: &mut ChaCha8Rng) -> Fault {
    let methods = ["PUT", "PUT", "PUT", "PROPFIND", "GET", "PATCH", "MKCOL", "DELETE", "MOVE"];
    let method = methods[random.random_range(0..methods.len())];
    let bytes = random.random_range(0..900);
    let millis = Duration::from_millis;
    let put = |action| Fault::next("PUT", action);
    let chunk = |action| Fault::next("PUT", action).on("*.parquet");
    let fault = match random.random_range(0..22) {
        0 => put(Action::CutAfter(bytes)),
        1 => put(Action::CutVisible(bytes)),
        2 => put(Action::CorruptReceived),
        3 => put(Action::Lock(millis(random.random_range(1..40)))),
        4 => put(Action::status(507)),
        5 => put(Action::html(413, "Request Entity Too Large")),
        6 => put(Action::DropAnswer),
        7 => put(Action::Proxy { works: millis(6), gives_up: millis(2) }),
        8 => Fault::next("MOVE", Action::Proxy { works: millis(10), gives_up: millis(2) }),
        9 => chunk(Action::CorruptStored),
        10 => chunk(Action::TruncateStored(bytes)),
        11 => Fault::next("PROPFIND", Action::CutAnswer(random.random_range(1..2_000))),
        12 => Fault::next("GET", Action::CutAnswer(random.random_range(1..100))),
        13 => Fault::next("MOVE", Action::Before(Event::CacheIsFlushed)),
        14 => Fault::next("MOVE", Action::Before(Event::PartIsLost("00001".into()))),
        15 => put(Action::Before(Event::StagingExpires)).on("*/uploads/*"),
        16 => Fault::next(method, Action::status(429)),
        17 => Fault::next(method, Action::html(504, "Gateway Time-out")),
        18 => Fault::next(method, Action::status(500)),
        19 => Fault::next(method, Action::DropAnswer),
        _ => Fault::next(method, Action::Cut),
    };
    fault.nth(random.random_range(1..6)).times(random.random_range(1..4))
}

/// What happens to something that is stored already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    /// A chunk or snapshot is gone.
    Gone,
    /// All chunks of a table are gone, and their folder with them.
    Emptied,
    /// The server still believes in a chunk that it has not got any more.
    Lost,
    /// A chunk's end is gone from the disk.
    Cut,
    /// A byte of a chunk has changed on the disk.
    Spoiled,
    /// The parts of uploads under way are gone.
    Expired,
}

pub(super) fn blow(random: &mut ChaCha8Rng) -> Blow {
    [Blow::Gone, Blow::Gone, Blow::Emptied, Blow::Lost, Blow::Cut, Blow::Spoiled, Blow::Expired]
        [random.random_range(0..7)]
}
