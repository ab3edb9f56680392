#!/bin/sh
# Installs what a checkout lacks. `prepare.sh run`: the npm packages, for `npm start` and `npm run check`.
# `prepare.sh test`: also the Debian packages that tests use. `prepare.sh bench`: also those of the programs that the
# benchmarks compare with; no npm script calls that. Without network where nothing is missing.
set -eu
cd "$(dirname "$0")/../.."
purpose="${1:-run}"
needed_node=24.12.0

# What is installed is known by the checksum of the lockfile that it was installed from: times change with every clone.
stamp=node_modules/.mastokeep-installed
wanted="$(cksum <package-lock.json)"
if [ -L node_modules ]; then
  : # belongs to another checkout, which looks after it
elif [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "error NPM_MISSING: npm is needed once, to install the packages" >&2
    echo "  install Node.js with npm, any version from 20 on (Debian: apt-get install npm)" >&2
    exit 1
  fi
  echo "mastokeep: installing npm packages ..." >&2
  if ! npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2; then
    echo "error INSTALL_FAILED: npm could not install the packages; this needs the network once" >&2
    echo "  see above, then run the same command again" >&2
    exit 1
  fi
  printf '%s\n' "$wanted" >"$stamp"
fi

PATH="$PWD/node_modules/.bin:$PATH"
export PATH
found_node="$(node --version 2>/dev/null | tr -d v)"
lowest="$(printf '%s\n%s\n' "$needed_node" "${found_node:-0}" | sort -V | head -n 1)"
if [ "$lowest" != "$needed_node" ]; then
  echo "error NODE_TOO_OLD: this is Node ${found_node:-"(none that starts)"}, mastokeep needs Node $needed_node or newer" >&2
  echo "  npm brings Node 24 by itself on Linux x64 and arm64; on this machine install it from https://nodejs.org" >&2
  exit 1
fi

case "$purpose" in
  run) exit 0 ;;
  test) purpose_is="the tests need" ;;
  bench) purpose_is="the benchmarks compare with" ;;
  *) echo "error USAGE: prepare.sh run, test or bench" >&2; exit 2 ;;
esac

# Debian keeps the programs of a PostgreSQL server off the PATH.
found_program() {
  command -v "$1" >/dev/null 2>&1 && return 0
  for candidate in /usr/lib/postgresql/*/bin/"$1"; do
    [ ! -x "$candidate" ] || return 0
  done
  return 1
}

# command:package pairs
if [ "$purpose" = test ]; then
  pairs="strace:strace sshfs:sshfs /usr/lib/openssh/sftp-server:openssh-sftp-server
    /usr/sbin/automount:autofs mkfs.ext4:e2fsprogs initdb:postgresql gpg:gnupg zstd:zstd openssl:openssl python3:python3"
else
  pairs="initdb:postgresql gpg:gnupg gzip:gzip python3:python3 restic:restic borg:borgbackup rsync:rsync syncthing:syncthing"
fi
missing=""
for pair in $pairs; do
  found_program "${pair%%:*}" || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
explain() {
  echo "error PACKAGES_MISSING: $purpose_is programs of these Debian packages:$missing" >&2
  echo "  run this as root once: sh test/support/prepare.sh $purpose" >&2
  exit 1
}
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then explain; fi
echo "mastokeep: installing Debian packages:$missing ..." >&2
# shellcheck disable=SC2086
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >&2; then
  explain
fi
