#!/usr/bin/env bash
# Sets up, checks and tests everything. Arguments go to cargo nextest, for example: scripts/test.sh push
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
scripts/check.sh
for name in TILLVAULT_TEST_MSSQL TILLVAULT_TEST_NEXTCLOUD TILLVAULT_TEST_POSTGRES; do
  [ -n "${!name:-}" ] || echo "test: skipped: tests against a live server, since $name is not set"
done
cargo test --doc --locked --quiet
exec cargo nextest run --locked "$@"
