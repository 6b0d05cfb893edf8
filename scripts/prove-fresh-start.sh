#!/usr/bin/env bash
# Proves that scripts/serve.sh works on a Debian 12 with nothing installed: makes one with
# debootstrap, copies this checkout into it, runs the script there, and asks the daemon for text.
#   sudo scripts/prove-fresh-start.sh [FOLDER]     default: a temporary one, removed at the end
# Packages come from where this machine's apt takes them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ "$(id -u)" -eq 0 ] || die "debootstrap and chroot need root."
command -v debootstrap >/dev/null || die "Install debootstrap first."

root=${1:-$(mktemp -d)}
daemon=""
finish() {
  if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null && wait "$daemon" || true; fi
  for mount in dev/pts dev proc; do
    if mountpoint -q "$root/$mount"; then umount "$root/$mount"; fi
  done
  rm -rf --one-file-system "$root"
}
trap finish EXIT

mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || die "apt on this machine knows no bookworm repository; run apt-get update."

say "A bare Debian 12 in $root"
debootstrap --variant=minbase --include=git,bash bookworm "$root" "$mirror"
apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  grep ' bookworm' | sort -u >"$root/etc/apt/sources.list"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t devpts devpts "$root/dev/pts"

say "The checkout"
git ls-files -z | tar --null -T - -c | tar -x -C "$(mkdir -p "$root/dejavu" && echo "$root/dejavu")"

bare=(/usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin)
inside() { chroot "$root" "${bare[@]}" "$@"; }
started=$(date +%s)
inside /dejavu/scripts/serve.sh --build-only
say "Built from nothing in $(($(date +%s) - started)) s; once more, which must be quick:"
started=$(date +%s)
inside /dejavu/scripts/serve.sh --build-only
say "Second run: $(($(date +%s) - started)) s"

log=$root/serve.log
# Not through inside(): a function in the background is a shell of its own, and would take the SIGTERM.
chroot "$root" "${bare[@]}" /dejavu/scripts/serve.sh --port 18000 --grpc-port 15051 >"$log" 2>&1 &
daemon=$!
for _ in $(seq 300); do
  if grep -q 'try ' "$log"; then break; fi
  kill -0 "$daemon" || { cat "$log"; die "The daemon ended."; }
  sleep 0.2
done
cat "$log"
answer=$(curl -sS --fail http://127.0.0.1:18000/v1/completions -H 'Content-Type: application/json' \
  -d '{"prompt": "Once upon a time", "max_tokens": 32}')
printf '%s\n' "$answer"
grep -q '"text"' <<<"$answer" || die "No text came back."
kill -TERM "$daemon"
wait "$daemon" || die "The daemon did not end with 0 after SIGTERM."
daemon=""
say "Proved: a fresh Debian 12 builds, serves and stops."
