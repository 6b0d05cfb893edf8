# shellcheck shell=bash
# shellcheck disable=SC2034 # used by who sources this
# What serve.sh, test.sh and the image builds share. Sourced, with the repository root as the working directory.

build_packages=(
  ca-certificates cmake curl g++ git ninja-build pkg-config
  catch2 libboost1.81-dev libcli11-dev libexpected-dev libgrpc++-dev libgrpc-dev libpcre2-dev
  libprotobuf-dev libspdlog-dev libssl-dev libtomlplusplus-dev libutf8proc-dev nlohmann-json3-dev
  prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc
)

# What the built daemon links against, for images and packages.
runtime_packages=(
  libfmt9 libpcre2-8-0 libprometheus-cpp-core1.0 libspdlog1.10 libssl3 libstdc++6
  libtomlplusplus3 libutf8proc2 zlib1g
)

say() { printf '\n== %s\n' "$*"; }

die() {
  printf '%s\n' "$@" >&2
  exit 1
}

require_debian_12() {
  local id="" version=""
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release && echo "${ID:-}")
    version=$(. /etc/os-release && echo "${VERSION_ID:-}")
  fi
  [ "$id" = debian ] && [ "$version" = 12 ] && return
  die "This script sets up Debian 12; here is ${id:-an unknown system} ${version}." \
    "Run it in a Debian 12 container instead, from this folder:" \
    "  docker run --rm -it --network host -v \"\$PWD\":/dejavu -w /dejavu debian:12 ./scripts/${0##*/} $*"
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "Packages must be installed and that needs root: run this as root, or install sudo."
  fi
}

# Installs what is missing; asks nobody and goes nowhere when nothing is.
install_packages() {
  local missing=() package
  for package in "$@"; do
    if ! dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "Packages: all there"
    return
  fi
  say "Packages: installing ${missing[*]}"
  as_root apt-get update
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

# One compiler for each CPU, but no more than memory allows (a big one takes about 2 GiB).
parallel_jobs() {
  local cpus memory
  cpus=$(nproc)
  memory=$(awk '/^MemAvailable/ { n = int($2 / 2097152); print (n > 0 ? n : 1) }' /proc/meminfo)
  echo $((cpus < memory ? cpus : memory))
}

# build FOLDER "CMAKE OPTIONS" TARGET...: fails when configuring or compiling does.
build() {
  local folder=$1 options=$2
  shift 2
  say "Building ${*:-everything} in $folder"
  mkdir -p "$folder"
  # shellcheck disable=SC2086 # several options in one text
  cmake -S . -B "$folder" -G Ninja $options >"$folder/configure.log" 2>&1 ||
    { cat "$folder/configure.log" >&2; return 1; }
  NINJA_STATUS='[%f/%t, %es] ' cmake --build "$folder" --parallel "$(parallel_jobs)" --target "${@:-all}"
}
