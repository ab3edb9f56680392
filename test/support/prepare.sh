#!/bin/sh
# Installs what a checkout lacks. `prepare.sh run`: the npm packages, for `npm start` and `npm run check`.
# `prepare.sh test`: also the Debian packages that tests use. Does nothing where everything is there.
set -eu
cd "$(dirname "$0")/../.."
purpose="${1:-run}"
needed_node=24.12.0

if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "mastokeep: installing npm packages ..." >&2
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

PATH="$PWD/node_modules/.bin:$PATH"
export PATH
found_node="$(node --version | tr -d v)"
lowest="$(printf '%s\n%s\n' "$needed_node" "$found_node" | sort -V | head -n 1)"
if [ "$lowest" != "$needed_node" ]; then
  echo "error NODE_TOO_OLD: this is Node $found_node, mastokeep needs Node $needed_node or newer" >&2
  echo "  npm brings Node 24 by itself on Linux x64 and arm64; on this machine install it from https://nodejs.org" >&2
  exit 1
fi

[ "$purpose" = test ] || exit 0

# Debian keeps the programs of a PostgreSQL server off the PATH.
found_program() {
  command -v "$1" >/dev/null 2>&1 && return 0
  for candidate in /usr/lib/postgresql/*/bin/"$1"; do
    [ ! -x "$candidate" ] || return 0
  done
  return 1
}

# command:package pairs
missing=""
for pair in strace:strace initdb:postgresql gpg:gnupg zstd:zstd openssl:openssl; do
  found_program "${pair%%:*}" || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "error PACKAGES_MISSING: the tests need these Debian packages:$missing" >&2
  echo "  run this as root once: sh test/support/prepare.sh test" >&2
  exit 1
fi
echo "mastokeep: installing Debian packages:$missing ..." >&2
apt-get update -qq >&2
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
