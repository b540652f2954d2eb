//! One byte is changed anywhere: a check that reads the data names the file, and a repair brings back the very bytes.

use std::fs;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tillvault::{archive::layout, ops::check::Level};

use crate::support::{READ_DATA, contents, files, lines, remote_of, run_check, run_repair, tiny};

/// Flips, spread over all files; more by `TILLVAULT_FLIPS`.
const FLIPS: usize = 60;

#[tokio::test]
async fn any_flipped_byte_is_named_and_mended() {
    let seed = setting("TILLVAULT_SEED").unwrap_or_else(|| rand::rng().random());
    let flips = setting("TILLVAULT_FLIPS").map_or(FLIPS, |flips| usize::try_from(flips).unwrap());
    eprintln!("TILLVAULT_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (_folder, root) = tiny().await;
    let (_kept, remote) = remote_of(&root, "mirror");
    let whole = contents(&root);
    let paths = files(&root);
    for turn in 0..flips {
        // Every file has its turn; small ones are hit as often as large ones.
        let path = &paths[turn % paths.len()];
        let mut bytes = fs::read(root.join(path)).unwrap();
        let (at, by) = (random.random_range(0..bytes.len()), random.random_range(1..=255u8));
        bytes[at] ^= by;
        fs::write(root.join(path), &bytes).unwrap();
        let what = format!("seed {seed}: byte {at} of {path} xor {by}");

        let found = run_check(&root, &READ_DATA).await;
        let about = found.findings.iter().find(|finding| finding.path == *path);
        let level = about.unwrap_or_else(|| panic!("{what}: not found, only {:?}", lines(&found))).level;
        let is_derived = path == layout::INDEX_FILE || path == layout::README_FILE;
        assert_eq!(level, if is_derived { Level::Warning } else { Level::Damage }, "{what}");

        let mended = run_repair(&root, &READ_DATA, std::slice::from_ref(&remote)).await;
        assert_eq!(lines(&mended), [""; 0], "{what}");
        if !is_derived {
            let kept = root.join(layout::DAMAGED).join(path);
            assert_eq!(fs::read(kept).unwrap(), bytes, "{what}: the damaged file is kept");
            fs::remove_dir_all(root.join(layout::DAMAGED)).unwrap();
        }
        assert!(contents(&root) == whole, "{what}: the repair brought back other bytes");
    }
}

#[allow(clippy::disallowed_methods, reason = "tests are replayed by the environment")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
