#!/usr/bin/env bash
# Installs what tillvault needs to build and run on Debian: idempotent, asks nothing, works as root or with sudo.
#   scripts/setup.sh            to build and run (demo.sh calls this)
#   scripts/setup.sh --tests    also what the tests and checks need (test.sh calls this)
# Everything that is not a Debian package or a cargo tool goes into the ignored folder .tools.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then
    sudo -n true 2>/dev/null || fail "'$1' needs root: run as root, or allow sudo without a password"
    sudo -n "$@"
  else fail "'$1' needs root, and sudo is not installed"; fi
}

apt_updated=
apt_install() {
  if [ -z "$apt_updated" ]; then
    say "reading Debian's package lists"
    as_root apt-get update -qq
    apt_updated=yes
  fi
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" >/dev/null
}

# --- compiler -------------------------------------------------------------------------------------------------------
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cc >/dev/null || apt_install build-essential
# The fast row reader's TLS is OpenSSL.
command -v pkg-config >/dev/null && pkg-config --exists openssl || apt_install pkg-config libssl-dev
command -v cargo >/dev/null || fail "no Rust toolchain found. Install Rust 1.89 or newer with rustup, then run this again"

# --- PostgreSQL server binaries, for the private replica cluster -----------------------------------------------------
postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1; }
if [ -z "$(postgres_bin)" ] || [ ! -x "$(postgres_bin)/initdb" ]; then
  # Only the binaries are wanted: keep the package from starting a cluster of its own.
  as_root mkdir -p /etc/postgresql-common/createcluster.d
  printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.d/tillvault.conf >/dev/null
  apt_install postgresql
fi

# --- the DuckDB shared library (docs/decisions/0002) -----------------------------------------------------------------
duckdb_package=@duckdb/node-bindings-linux-x64@1.5.6-r.1
duckdb_sha256=3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633
duckdb_intact() { [ -f .tools/duckdb/libduckdb.so ] && echo "$duckdb_sha256  .tools/duckdb/libduckdb.so" | sha256sum --check --status; }
if ! duckdb_intact; then
  [ "$(uname -m)" = x86_64 ] || fail "the prebuilt DuckDB library is for x86_64; on $(uname -m) build with: cargo build --release --features bundled"
  # Debian's npm trusts the system's certificates, and only recommends them.
  command -v npm >/dev/null || apt_install npm ca-certificates
  say "fetching the DuckDB library ($duckdb_package)"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm pack --silent "$duckdb_package" >/dev/null) || fail "npm could not fetch $duckdb_package: is the npm registry reachable?"
  tar -xzf "$work"/*.tgz -C "$work"
  mkdir -p .tools/duckdb
  cp "$work"/package/LICENSE .tools/duckdb/
  cp "$work"/package/libduckdb.so .tools/duckdb/libduckdb.so.new
  mv .tools/duckdb/libduckdb.so.new .tools/duckdb/libduckdb.so
  duckdb_intact || fail ".tools/duckdb/libduckdb.so is not the expected file (SHA-256 differs): delete it and run this again"
fi

[ "${1:-}" = --tests ] || { say "ready"; exit 0; }

# --- what the tests and checks need ----------------------------------------------------------------------------------
command -v python3 >/dev/null || apt_install python3
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3-venv; fi
if [ ! -x .tools/venv/bin/python ] || ! cmp -s scripts/requirements-tests.txt .tools/venv/requirements-tests.txt; then
  say "making the Python environment of the tests"
  rm -rf .tools/venv
  python3 -m venv .tools/venv
  .tools/venv/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements-tests.txt
  cp scripts/requirements-tests.txt .tools/venv/
fi
command -v b3sum >/dev/null || apt_install b3sum
command -v tsql >/dev/null || apt_install freetds-bin
# WebDAV servers to test against. Only the programs: apache2-bin brings no service, and the tests start and stop their own.
[ -x /usr/sbin/apache2 ] || apt_install apache2-bin
command -v rclone >/dev/null || apt_install rclone
command -v cargo-nextest >/dev/null || { say "installing cargo-nextest (some minutes)"; cargo install --quiet --locked cargo-nextest; }
command -v cargo-deny >/dev/null || { say "installing cargo-deny (some minutes)"; cargo install --quiet --locked cargo-deny; }
rustup component list --installed 2>/dev/null | grep -q clippy || cargo clippy --version >/dev/null 2>&1 || fail "cargo clippy is missing: rustup component add clippy rustfmt"
say "ready, with tests"
