#!/usr/bin/env bash
# Measures tillvault against its peers and its floors, side by side in one run.
#   scripts/bench.sh                        everything
#   scripts/bench.sh pipeline [ORDER LINES] snapshot against a bare tiberius drain, unchanged run, replica load; 200,000 lines by default
#   scripts/bench.sh archive [--quick]      bytes and objects per night and per sync of two simulated sites, for several ladders, beside
#                                           restic, borg and whole-table Parquet; then speed and memory. About 10 minutes; --quick under one
# Ratios within one run count; seconds depend on the machine and on what else runs. The archive's sizes are exact and repeatable.
# restic and borg are installed from Debian's packages where they are missing; where that fails they are skipped, and it is said.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*"; }
usage() { sed -n '2,8s/^# \{0,1\}//p' scripts/bench.sh; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  else sudo -n "$@"; fi
}

# Debian's package of a program, if it is not there yet. Never asks, never fails the bench.
want() { # program package
  command -v "$1" >/dev/null && return
  say "installing $2"
  { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$2"
  } </dev/null >/dev/null 2>&1 || say "SKIPPED: $1 could not be installed"
}

bench() { # name arguments…
  local name=$1
  shift
  cargo bench --locked --bench "$name" -- "$@"
}

pipeline() { bench pipeline "$@"; }

archive() {
  want restic restic
  want borg borgbackup
  bench archive "$@"
}

what=${1:-all}
[ $# -eq 0 ] || shift
case $what in
  -h | --help) usage; exit ;;
  all | pipeline | archive) ;;
  *) usage >&2; exit 2 ;;
esac
case $what:$*  in
  archive: | archive:--quick | all: | pipeline:) ;;
  pipeline:*[!0-9]* | archive:* | all:*) usage >&2; exit 2 ;;
esac

scripts/setup.sh
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
case $what in
  all) pipeline; archive ;;
  *) "$what" "$@" ;;
esac
