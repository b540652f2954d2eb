#!/usr/bin/env bash
# Measures tillvault against its peers and its floors, side by side in one run.
#   scripts/bench.sh                        everything
#   scripts/bench.sh pipeline [ORDER LINES] snapshot against a bare tiberius drain, unchanged run, replica load; 200,000 lines by default
#   scripts/bench.sh till [ORDER LINES]     reading a till of a million order lines: both readers against bare drains, odbc2parquet over
#                                           FreeTDS and ConnectorX; quick against full; memory. On the server that
#                                           TILLVAULT_TEST_MSSQL names, where it is set. The demo till keeps the checksums it has
#                                           computed; the time it took for them is told apart, that of a SQL Server is not in it
#   scripts/bench.sh archive [--quick]      bytes and objects per night and per sync of two simulated sites, for several ladders, beside
#                                           restic, borg and whole-table Parquet; then speed and memory. About 10 minutes; --quick under one
#   scripts/bench.sh remote [--requests]    uploads beside curl and rclone, on apache2 mod_dav, rclone serve webdav and a Nextcloud double;
#                                           requests of pushes (--requests: only those)
#   scripts/bench.sh soak [PUSHES] [SEED]   pushes with random faults to two Nextcloud doubles, 200 by default; not part of "everything"
# Ratios within one run count; seconds depend on the machine and on what else runs. The archive's sizes are exact and repeatable.
# Peers are installed where they are missing (restic, borg, FreeTDS and GNU time from Debian's packages; odbc2parquet and ConnectorX from
# the package registries into .tools/bench); where that fails they are skipped, and it is said.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*"; }
usage() { sed -n '2,16s/^# \{0,1\}//p' scripts/bench.sh; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  else sudo -n "$@"; fi
}

# Debian's package of a program, if it is not there yet. Never asks, never fails the bench.
want() { # program package
  command -v "$1" >/dev/null || want_package "$2"
}

want_package() { # package
  say "installing $1"
  { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$1"
  } </dev/null >/dev/null 2>&1 || say "SKIPPED: $1 could not be installed"
}

bench() { # name arguments…
  local name=$1
  shift
  cargo bench --locked --bench "$name" -- "$@"
}

pipeline() { bench pipeline "$@"; }

till() {
  want time time
  want odbcinst odbcinst
  [ -e /usr/include/sql.h ] || want_package unixodbc-dev
  [ -e /usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so ] || want_package tdsodbc
  if [ ! -x .tools/bench/bin/odbc2parquet ]; then
    say "building odbc2parquet"
    cargo install --quiet odbc2parquet --version 11.0.1 --locked --root .tools/bench </dev/null ||
      say "SKIPPED: odbc2parquet could not be built"
  fi
  if [ ! -x .tools/bench/python/bin/python ]; then
    say "installing ConnectorX"
    python3 -m venv .tools/bench/python.new &&
      .tools/bench/python.new/bin/pip --quiet install connectorx==0.4.6 pyarrow pandas </dev/null &&
      mv .tools/bench/python.new .tools/bench/python || say "SKIPPED: ConnectorX could not be installed"
  fi
  bench till "$@"
}

archive() {
  want restic restic
  want borg borgbackup
  bench archive "$@"
}

remote() {
  want curl curl
  want rclone rclone
  want time time
  [ -x /usr/sbin/apache2 ] || want_package apache2-bin
  bench remote "$@"
}

soak() {
  TILLVAULT_SOAK=${1:-200} TILLVAULT_SOAK_SEED=${2:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} \
    cargo test --locked --test push soak -- --nocapture
}

what=${1:-all}
[ $# -eq 0 ] || shift
case $what in
  -h | --help) usage; exit ;;
  all | pipeline | till | archive | remote | soak) ;;
  *) usage >&2; exit 2 ;;
esac
case $what:$*  in
  archive: | archive:--quick | remote: | remote:--requests | soak: | all: | pipeline: | till:) ;;
  soak:*[!0-9\ ]*) usage >&2; exit 2 ;;
  soak:*) ;;
  pipeline:*[!0-9]* | till:*[!0-9]* | archive:* | remote:* | all:*) usage >&2; exit 2 ;;
esac

scripts/setup.sh
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
case $what in
  all) pipeline; till; archive; remote ;;
  *) "$what" "$@" ;;
esac
