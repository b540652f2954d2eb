//! Every fault at every place of a run.

use std::time::Duration;

use tillvault::{
    config::{RowReader, TillConfig},
    demo::fault::{Answer, BadPacket, Fault, Place, Tamper, When},
};

use crate::{
    rig::{Rig, all_words, reader_of},
    till::config,
};

/// A place of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    SetUp,
    Describe,
    Columns,
    Keys,
    ForeignKeys,
    Begin,
    Sums,
    FirstPage,
    NextPage,
    Whole,
    Commit,
}

impl At {
    /// Text that the request at this place holds, and none before it.
    fn text(self) -> &'static str {
        match self {
            Self::SetUp => "set nocount on",
            Self::Describe => "@@servername",
            Self::Columns => "sys.default_constraints",
            Self::Keys => "is_primary_key = 1",
            Self::ForeignKeys => "sys.foreign_keys as f",
            Self::Begin => "begin transaction",
            Self::Sums => "from [dbo].[orders])",
            Self::FirstPage => "from [dbo].[orders] order",
            Self::NextPage => "from [dbo].[orders] where",
            Self::Whole => "[words] from [dbo].[notes]",
            Self::Commit => "commit transaction",
        }
    }

    /// The table read here.
    fn table(self) -> Option<&'static str> {
        match self {
            Self::FirstPage | Self::NextPage => Some("Orders"),
            Self::Whole => Some("Notes"),
            _ => None,
        }
    }

    /// Whether nothing but settings and transactions is said here, so that the answer holds no rows.
    fn is_silent(self) -> bool {
        matches!(self, Self::SetUp | Self::Begin | Self::Commit)
    }

    /// Which share of the faults strikes here: every how many-th, beginning with which. Three of the catalog's questions are
    /// asked in the same way by the same driver: together they meet every fault. So do runs that begin anew after each.
    fn share(self, isolation: bool, half: Half) -> (usize, usize) {
        match self {
            Self::Describe => (3, 0),
            Self::Keys => (3, 1),
            Self::ForeignKeys => (3, 2),
            _ if isolation && half == Half::Bytes => (2, 0),
            _ => (1, 0),
        }
    }

    /// The object a message must name.
    fn object(self) -> &'static str {
        match self {
            Self::SetUp => "set up the session",
            Self::Describe => "ask the till who it is",
            Self::Columns | Self::Keys | Self::ForeignKeys => "catalog",
            Self::Begin | Self::Commit => "read transaction",
            Self::Sums | Self::FirstPage | Self::NextPage => "Orders",
            Self::Whole => "Notes",
        }
    }
}

/// What a fault may lead to. That nothing false is kept and the next run is whole is asserted of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// The connection is of no use any more: a temporary failure.
    Lost,
    /// The same, but it may show at a later statement, or not at all when none follows.
    LostLater,
    /// The answer makes no sense: the run fails, or this table is named as one that could not be read.
    Garbled,
    /// The answer is whole in spite of it, or nothing depends on it.
    Harmless,
    /// A lock was in the way: asked again, or a temporary failure within a transaction.
    Lock,
    /// The server refuses: a failure for good, or this table is named as one that could not be read.
    Refused,
    /// The server cannot now: a temporary failure.
    NotNow,
}

type Case = (&'static str, Fault, Leads);

fn tampers(answer: &Answer) -> Vec<Case> {
    let length = answer.tokens.len();
    let on_wire = |tokens: usize| (tokens + 8) as u64;
    let half = on_wire(length / 2);
    let long = Duration::from_secs(60);
    let status = answer.tokens[length - 12];
    let instead = |tokens: Vec<u8>| Tamper::edit(Place::Start(0), usize::MAX, tokens);
    let list: Vec<(&'static str, Tamper, Leads)> = vec![
        ("closed instead of an answer", Tamper::cut_at(0), Leads::Lost),
        ("cut in the first header", Tamper::cut_at(5), Leads::Lost),
        ("cut after the first byte", Tamper::cut_at(9), Leads::Lost),
        ("cut half-way", Tamper::cut_at(half), Leads::Lost),
        ("cut before DONE", Tamper::cut_at(on_wire(length.saturating_sub(13))), Leads::Lost),
        ("closed after DONE", Tamper::cut_at(u64::MAX), Leads::LostLater),
        ("closed instead of DONE", Tamper::shorten(Place::End(13)).then_cut(), Leads::LostLater),
        ("nothing at all in the message", instead(Vec::new()), Leads::Lost),
        ("nothing but DONE", Tamper::edit(Place::Start(0), length - 13, []), Leads::Garbled),
        ("DONE says that more comes", Tamper::edit(Place::End(12), 1, [status | 1]).then_cut(), Leads::LostLater),
        ("DONE says that there was an error", Tamper::edit(Place::End(12), 1, [status | 2]), Leads::Garbled),
        ("silence half-way", Tamper::stall_at(half, long), Leads::Lost),
        ("a wrong token", Tamper::edit(Place::Start(0), 1, [0x42]), Leads::Garbled),
        ("noise", instead(noise(300)), Leads::Garbled),
        ("65,534 columns", instead(vec![0x81, 0xFE, 0xFF, 0, 0, 0]), Leads::Garbled),
        ("a packet without length", Tamper::pack(BadPacket::Length(0)), Leads::Garbled),
        ("a packet that says it is longer", Tamper::pack(BadPacket::Length(65_535)), Leads::Garbled),
        ("a packet of another type", Tamper::pack(BadPacket::Kind(0x99)), Leads::Garbled),
        ("packets all of one number", Tamper::pack(BadPacket::Number), Leads::Garbled),
        ("no last packet", Tamper::pack(BadPacket::NoEnd), Leads::Garbled),
        ("a slow line", Tamper::drip(length / 20 + 1, Duration::from_millis(2)), Leads::Harmless),
    ];
    list.into_iter().map(|(name, tamper, leads)| (name, tamper.into(), leads)).collect()
}

fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn errors() -> Vec<Case> {
    vec![
        ("1205", Fault::deadlock(), Leads::Lock),
        ("1222", Fault::lock_timeout(), Leads::Lock),
        ("229", Fault::permission_denied("SambaPOS5", "X"), Leads::Refused),
        ("208", Fault::invalid_object("X"), Leads::Refused),
        ("207", Fault::invalid_column("X"), Leads::Refused),
        ("3961", Fault::changed_in_transaction("SambaPOS5"), Leads::NotNow),
        ("3952", Fault::no_snapshots("SambaPOS5"), Leads::NotNow),
        ("701", Fault::out_of_memory(), Leads::NotNow),
        ("8645", Fault::memory_timeout(), Leads::NotNow),
    ]
}

/// Errors of statements that read.
fn reading_errors() -> Vec<Case> {
    vec![
        ("596", Fault::killed(), Leads::Lost),
        ("6005", Fault::shutdown(), Leads::Lost),
        ("824 after three rows", Fault::ErrorAfter(3, 824, "a page is torn".into()), Leads::Refused),
        ("8115 after the last row", Fault::ErrorAfter(u64::MAX, 8115, "Arithmetic overflow.".into()), Leads::Refused),
        ("1205 after three rows", Fault::ErrorAfter(3, 1205, "deadlock".into()), Leads::Lock),
        ("closed within the fourth row", Fault::DropInside(3), Leads::Lost),
    ]
}

/// Which faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Bytes,
    Errors,
}

/// Every fault of one half at one place.
async fn strike_all(at: At, isolation: bool, half: Half, reader: RowReader) {
    // Within a transaction a run asks for sums only where it goes on from known ones.
    let rig = if at == At::Sums && isolation { Rig::quick(isolation).await } else { Rig::new(isolation).await };
    // The till stands still from here on, so that it answers from what it has answered before: the same bytes.
    rig.engine().freeze();
    let patient = TillConfig { reader, ..config(&rig.server) };
    // Only what is waited for in vain needs an end soon.
    let hasty = TillConfig { statement_timeout: Duration::from_millis(800), ..patient.clone() };
    let cases = match half {
        Half::Bytes => {
            let answers = rig.answers(&patient).await;
            let answer = answers.iter().find(|answer| answer.request.to_lowercase().contains(at.text()));
            tampers(answer.unwrap_or_else(|| panic!("{at:?} is not passed")))
        }
        Half::Errors if at.is_silent() => errors(),
        Half::Errors => [errors(), reading_errors()].concat(),
    };
    let (every, first) = at.share(isolation, half);
    for (name, fault, leads) in cases.into_iter().skip(first).step_by(every) {
        let what = format!("{name} at {at:?}, isolation {isolation}, {}", reader_of(&patient));
        let when = When::Text(at.text().into());
        rig.server.faults().arm(when.clone(), fault.clone(), 1);
        let is_waited_for = half == Half::Bytes && leads != Leads::Harmless;
        let mut struck = rig.strike(if is_waited_for { &hasty } else { &patient }).await;
        if !struck.fired && is_waited_for {
            // A busy machine was too slow for so little patience before it came to the fault.
            rig.server.faults().arm(when, fault, 1);
            struck = rig.strike(&patient).await;
        }
        let code = struck.outcome.as_ref().map_or_else(tillvault::Error::exit_code, |_| 0);
        let words = struck.outcome.as_ref().map_or_else(all_words, |_| String::new());
        assert!(struck.fired, "{what}: did not happen; {code} {words}");
        let missing = rig.survives(&what, struck, &patient).await;
        judge(&what, at, (leads, isolation), code, &words, &missing);
    }
}

fn judge(what: &str, at: At, (leads, isolation): (Leads, bool), code: u8, words: &str, missing: &[String]) {
    let complete = code == 0 && missing.is_empty();
    // A run whose read transaction was lost begins anew; sums that could not be had are done without.
    let anew = complete && (isolation || at == At::Sums);
    let named = code == 0 && at.table().is_some_and(|table| missing == [table]);
    let good = match leads {
        Leads::Lost => code == 75 || anew,
        Leads::LostLater => code == 75 || complete,
        Leads::Garbled => code == 75 || code == 1 || named || complete,
        Leads::Harmless => complete,
        Leads::Lock => code == 75 || complete,
        Leads::Refused => code == 1 || named || (complete && at.table().is_none()),
        Leads::NotNow => code == 75 || anew || (complete && at.is_silent()),
    };
    assert!(good, "{what}: exit code {code}, missing {missing:?}: {words}");
    let may_be_later = matches!(leads, Leads::LostLater | Leads::Garbled);
    assert!(code == 0 || may_be_later || words.contains(at.object()), "{what}: does not name {}: {words}", at.object());
}

macro_rules! places {
    ($reader:ident: $($name:ident: $at:ident, $isolation:expr;)*) => {
        $(
            mod $name {
                use super::super::{At, Half, strike_all};
                use tillvault::config::RowReader;

                #[tokio::test]
                async fn bytes() {
                    strike_all(At::$at, $isolation, Half::Bytes, RowReader::$reader).await;
                }

                #[tokio::test]
                async fn errors() {
                    strike_all(At::$at, $isolation, Half::Errors, RowReader::$reader).await;
                }
            }
        )*
    };
}

mod fast_reader {
    places! {
        Fast:
        setting_up: SetUp, false;
        describing: Describe, false;
        reading_columns: Columns, false;
        reading_keys: Keys, false;
        reading_foreign_keys: ForeignKeys, false;
        beginning: Begin, true;
        summing_up: Sums, false;
        summing_up_in_a_transaction: Sums, true;
        a_first_page: FirstPage, false;
        a_first_page_in_a_transaction: FirstPage, true;
        a_later_page: NextPage, false;
        a_later_page_in_a_transaction: NextPage, true;
        a_table_in_one_statement: Whole, false;
        a_table_in_one_statement_in_a_transaction: Whole, true;
        committing: Commit, true;
    }
}

/// The connection that asks for the catalog is of this driver, whichever reads the rows: it is struck above. Its words are the
/// same with a transaction and without, and what becomes of a lost transaction is not the driver's business: one place in a
/// transaction is enough.
mod slow_reader {
    places! {
        Tiberius:
        beginning: Begin, true;
        summing_up: Sums, false;
        a_first_page: FirstPage, false;
        a_first_page_in_a_transaction: FirstPage, true;
        a_later_page: NextPage, false;
        a_table_in_one_statement: Whole, false;
        committing: Commit, true;
    }
}
