#!/usr/bin/env bash
# Measures the main job against its floor, in one run: snapshot against a bare tiberius drain, unchanged run, replica load.
#   scripts/bench.sh [ORDER LINES]      200,000 by default
# Ratios within one run count; seconds depend on the machine and on what else runs.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
exec cargo bench --locked --bench pipeline -- "$@"
