#!/usr/bin/env bash
# Builds the model-file fuzzers with clang and runs each for SECONDS_EACH (default 60):
#   tests/fuzz/run.sh [SECONDS_EACH]
# Inputs that fail are left in build-fuzz/, as is each fuzzer's whole log.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds="${1:-60}"
clang="$(command -v clang++ || command -v clang++-14)" || {
  echo "run.sh: needs clang++ with libFuzzer (Debian: clang libclang-rt-14-dev)" >&2
  exit 1
}
echo "Building the fuzzers with $clang"
cmake -S . -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER="$clang" -DDEJAVU_FUZZ=ON -DDEJAVU_SERVER=OFF \
  -DDEJAVU_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
ninja -C build-fuzz make_seeds fuzz_safetensors fuzz_config
build-fuzz/make_seeds build-fuzz/seeds
for fuzzer in safetensors config; do
  echo "Fuzzing $fuzzer for $seconds s"
  mkdir -p "build-fuzz/corpus/$fuzzer"
  build-fuzz/fuzz_$fuzzer -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 \
    -artifact_prefix=build-fuzz/ -print_final_stats=1 "build-fuzz/corpus/$fuzzer" "build-fuzz/seeds/$fuzzer" \
    >"build-fuzz/$fuzzer.log" 2>&1 || {
    tail -n 60 "build-fuzz/$fuzzer.log"
    exit 1
  }
  grep '^stat::' "build-fuzz/$fuzzer.log"
done
