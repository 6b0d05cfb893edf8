#!/usr/bin/env bash
# Proves the stages of deploy/Dockerfile without Docker: debootstrap makes the base image, buildah
# runs every step of the target, and the result is started as a container engine would start it: the
# entrypoint as PID 1 of namespaces of its own, the image's user, a root that cannot be written to.
#   sudo deploy/prove-stages.sh [cpu|cuda] >docs/image-stages.log
# Needs buildah, debootstrap, curl and about 6 GB; for cuda, a toolkit in /usr/local/cuda-VERSION,
# which stands in for NVIDIA's image. What the steps themselves print goes to standard error. With
# CCACHE_DIR set, the base image has ccache and compiles through that cache.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

target=${1:-cpu}
case $target in cpu | cuda) ;; *) die "unknown target $target; use: deploy/prove-stages.sh [cpu|cuda]" ;; esac
[ "$(id -u)" -eq 0 ] || die "debootstrap, buildah and namespaces need root."
for tool in buildah debootstrap curl unshare nsenter; do
  command -v "$tool" >/dev/null || die "Install $tool first."
done

work=$(mktemp -d)
oci() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
supervisor="" # unshare; the daemon is its child
finish() {
  if [ -n "$supervisor" ]; then kill -KILL "$supervisor" 2>/dev/null || true; fi
  oci umount --all >/dev/null 2>&1 || true
  oci rm --all >/dev/null 2>&1 || true
  # What a step that was cut off has left mounted.
  awk -v here="$work/" 'index($2, here) == 1 { print $2 }' /proc/mounts | sort -r | xargs --no-run-if-empty umount || true
  rm -rf --one-file-system "$work"
}
trap finish EXIT
proved() { printf 'proved: %s\n' "$*"; }
timed() { # COMMAND...: what it prints to standard error, its duration into $took
  local start=$SECONDS
  "$@" >&2
  took=$((SECONDS - start))
}

say "Base image: a bare Debian 12"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || die "apt on this machine knows no bookworm repository; run apt-get update."
bootstrap=(--variant=minbase)
if [ -n "${CCACHE_DIR:-}" ]; then bootstrap+=(--include=ccache); fi
make_base() {
  debootstrap "${bootstrap[@]}" bookworm "$work/base" "$mirror"
  apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    grep ' bookworm' | sort -u >"$work/base/etc/apt/sources.list"
  rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
  if [ -n "${CCACHE_DIR:-}" ]; then
    printf 'cache_dir = /ccache\nbase_dir = /src\nhash_dir = false\n' >"$work/base/etc/ccache.conf"
  fi
}
# image NAME SOURCE DESTINATION: a folder as an image of one layer.
image() {
  local container
  container=$(oci from scratch)
  oci copy --quiet "$container" "$2" "$3"
  oci commit --quiet --rm "$container" "$1"
}
timed make_base
echo "debootstrap: $took s"
timed image base "$work/base" /
rm -rf --one-file-system "$work/base"

arguments=(--build-arg BASE=localhost/base --build-arg "REVISION=$(git rev-parse HEAD)")
if [ -n "${CCACHE_DIR:-}" ]; then arguments+=(--volume "$CCACHE_DIR:/ccache"); fi
if [ "$target" = cuda ]; then
  toolkit=$(readlink -f /usr/local/cuda)
  [ -x "$toolkit/bin/nvcc" ] || die "No CUDA toolkit at /usr/local/cuda."
  timed image toolkit "$toolkit" "$toolkit"
  arguments+=(--build-arg CUDA_BASE=localhost/toolkit --build-arg "CUDA_VERSION=${toolkit##*cuda-}")
fi

say "Stages of the target $target"
mkdir "$work/context"
git ls-files -z | tar --null -T - -c | tar -x -C "$work/context"
make_image() {
  oci bud --format docker --isolation chroot --layers --target "$target" "${arguments[@]}" \
    -f "$work/context/deploy/Dockerfile" -t "dejavu:$target" "$work/context" | tee "$work/steps"
}
timed make_image
grep -E '^(\[[0-9/]+\] )?STEP' "$work/steps"
echo "all steps: $took s"

say "What the image says"
config() { oci inspect --type image --format "$1" "dejavu:$target"; }
expect() { # WHAT TEMPLATE PATTERN
  local value
  value=$(config "$2")
  [[ $value =~ $3 ]] || die "$1: $value does not match $3"
  proved "$1: $value"
}
expect user '{{.Docker.Config.User}}' '^10001:10001$'
expect entrypoint '{{.Docker.Config.Entrypoint}} {{.Docker.Config.Cmd}}' '^\[dejavu\] \[serve\]$'
expect 'stop signal' '{{.Docker.Config.StopSignal}}' '^SIGTERM$'
expect health '{{.Docker.Config.Healthcheck.Test}}' 'dejavu health'
expect environment '{{.Docker.Config.Env}}' 'DEJAVU_HOST=0\.0\.0\.0 HF_HOME=/var/cache/dejavu'
expect volume '{{.Docker.Config.Volumes}}' '/var/cache/dejavu'
expect title '{{index .Docker.Config.Labels "org.opencontainers.image.title"}}' '^dejavu$'
expect revision '{{index .Docker.Config.Labels "org.opencontainers.image.revision"}}' "^$(git rev-parse HEAD)$"

say "What is in it"
container=$(oci from --pull-never "localhost/dejavu:$target")
root=$(oci mount "$container")
[ ! -e "$root/src" ] || die "The sources are in the image."
for tool in g++ cmake ninja git protoc; do
  [ ! -e "$root/usr/bin/$tool" ] || die "$tool is in the image."
done
proved "no compiler, no build tools, no sources"
! chroot "$root" ldd /usr/bin/dejavu | grep 'not found' || die "A library is missing."
proved "every library is there"
[ -f "$root/usr/share/dejavu/models/demo/config.json" ] || die "The demo model is missing."
proved "the demo model is there"
echo "size: $(du -sm --one-file-system "$root" | cut -f1) MB"

say "How it runs"
port=18080
mapfile -t variables < <(config '{{range .Docker.Config.Env}}{{println .}}{{end}}' | grep .)
variables+=("DEJAVU_HTTP_PORT=$port" DEJAVU_GRPC_PORT=15080)
if [ "$target" = cuda ]; then variables+=(DEJAVU_DEVICE=auto); fi
mkdir "$work/root"
unshare --mount --pid --fork --kill-child bash -euc '
  mount --bind "$1" "$2"
  mount -o remount,ro,bind "$2"
  mount -t proc proc "$2/proc"
  mount -t tmpfs tmpfs "$2/tmp"
  mount --bind "$1/var/cache/dejavu" "$2/var/cache/dejavu" # as an engine fills a new volume
  mount --bind /dev "$2/dev"
  exec chroot --userspec=10001:10001 "$2" /usr/bin/env -i -C /tmp "${@:3}" dejavu serve
' bash "$root" "$work/root" "${variables[@]}" 2>"$work/log" &
supervisor=$!
daemon=""
inside() { # as `docker exec`
  nsenter --target "$daemon" --mount --pid --root --setuid 10001 --setgid 10001 /usr/bin/env -i "${variables[@]}" "$@"
}
check=$(config '{{index .Docker.Config.Healthcheck.Test 1}}')
healthy() { inside bash -c "$check" >/dev/null 2>&1; }
for _ in $(seq 600); do
  daemon=$(pgrep -P "$supervisor" || true)
  if [ -n "$daemon" ] && healthy; then break; fi
  kill -0 "$supervisor" 2>/dev/null || { cat "$work/log" >&2; die "The daemon ended."; }
  sleep 0.2
done
healthy || { cat "$work/log" >&2; die "Not healthy in two minutes."; }
proved "HEALTHCHECK succeeds, inside"
[ "$(inside cat /proc/1/comm)" = dejavu ] || die "PID 1 is another process."
[ "$(stat -c %u "/proc/$daemon")" = 10001 ] || die "It runs as another user."
proved "the daemon is PID 1, user $(inside id -u)"
! inside touch /usr/proof 2>/dev/null || die "The root can be written to."
proved "the root is read-only"
inside bash -c 'touch "$HF_HOME/proof"' || die "Models of the hub cannot be kept."
proved "HF_HOME can be written to"

request() { curl -sS --fail -N "http://127.0.0.1:$port/v1/completions" -H 'Content-Type: application/json' -d "$1"; }
answer=$(request '{"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}')
grep -q '"text"' <<<"$answer" || die "No text came back: $answer"
proved "it answers from outside: $(grep -o '"text":"[^"]*"' <<<"$answer")"

request '{"prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": true, "stream": true}' >"$work/stream" &
client=$!
until [ -s "$work/stream" ]; do sleep 0.05; done
kill -TERM "$daemon"
wait "$client" || die "The stream broke."
grep -q '^data: \[DONE\]' "$work/stream" || die "The stream did not end."
code=0
wait "$supervisor" || code=$?
supervisor=""
[ "$code" -eq 0 ] || { cat "$work/log" >&2; die "Exit code $code after SIGTERM."; }
proved "SIGTERM as PID 1: the running stream ended with [DONE], exit code 0"

say "Proved: the target $target"
