#!/usr/bin/env bash
# Format, lints as errors, documentation, dependency rules, direction of dependencies between rooms.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
step() { printf 'check: %s\n' "$*"; }

step "format"
cargo fmt --check
step "direction of dependencies"
python3 scripts/check_layers.py
step "lints"
cargo clippy --quiet --locked --lib --bins -- -D warnings
# Tests may unwrap (a panic is how they fail) and say what they skip.
cargo clippy --quiet --locked --all-targets -- -D warnings -A clippy::unwrap_used -A clippy::print_stderr
step "documentation"
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --locked --no-deps --document-private-items
step "licences, sources, banned crates"
cargo deny --log-level error check bans licenses sources
step "advisories"
# The advisory database is a git repository; without a copy of it there is nothing to compare with, which is said, not hidden.
if timeout 60 cargo deny --log-level error fetch db >/dev/null 2>&1; then
  cargo deny --log-level error check advisories
else
  echo "check: skipped: advisories, since the advisory database cannot be fetched here"
fi
step "shell scripts"
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
step "done"
