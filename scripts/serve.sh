#!/usr/bin/env bash
# Installs what dejavu needs, builds it and starts the daemon on the demo model.
#   scripts/serve.sh [--build-only] [MODEL] [options of `dejavu serve`]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

build_only=no
if [ "${1:-}" = --build-only ]; then
  build_only=yes
  shift
fi

require_debian_12 "$@"
install_packages "${build_packages[@]}"
build build "" dejavu
say "Built build/dejavu"
[ "$build_only" = no ] || exit 0

say "Starting: build/dejavu serve $*   (Ctrl-C ends it)"
exec build/dejavu serve "$@"
