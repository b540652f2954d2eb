//! What a remote costs: upload speed beside `curl -T` and `rclone copy` on the same servers, in turns, and the requests of pushes.
//!
//! `scripts/bench.sh remote`. Servers are apache2 with `mod_dav`, `rclone serve webdav` and the Nextcloud double, on loopback, on the cores
//! that the clients use, too. Seconds depend on the machine; the ratios of one run count (DESIGN §9).

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its tables and fails by panicking")]

#[path = "../../tests/nextcloud/double/mod.rs"]
mod double;
#[path = "../till/measure.rs"]
mod measure;
#[path = "../../tests/store/peers.rs"]
#[allow(dead_code, reason = "not every server is measured")]
mod peers;
mod requests;
#[path = "../../tests/push/site.rs"]
#[allow(dead_code, reason = "only its archives are used")]
mod site;
mod speed;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("# Remotes\n");
    requests::run();
    if !arguments.iter().any(|argument| argument == "--requests") {
        speed::run();
    }
}
