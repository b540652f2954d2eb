#!/usr/bin/env bash
# Sets up, builds and runs the whole story on simulated trade: till, archive, WebDAV mirror, replica, report, clear, history.
# Arguments go to `tillvault demo`, for example: scripts/demo.sh --folder /tmp/my-demo --days 30
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
cargo build --release --locked
exec target/release/tillvault demo "$@"
