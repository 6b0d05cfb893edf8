#!/usr/bin/env bash
# Builds gpu_bench, runs the GPU's benchmarks and writes bench/results/NAME.json.
#   scripts/bench-gpu.sh NAME
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ $# -eq 1 ] || die "use: scripts/bench-gpu.sh NAME"
cmake -S . -B build-gpu -DDEJAVU_SERVER=OFF -DDEJAVU_TESTS=OFF
cmake --build build-gpu --target gpu_bench --parallel
JSON=$(mktemp)
export JSON
trap 'rm -f "$JSON"' EXIT
bench=build-gpu/gpu_bench
"$bench" kernels 7168 28672 56
"$bench" kernels 4096 16384 32
"$bench" step opt-6.7b 512 1,16 0.1 0.3
"$bench" step opt-6.7b 1024 32 0.1 0.5 0.52
"$bench" step opt-30b 512 1 0.2 0.5
"$bench" step opt-30b 512 1 0.1 0.3
"$bench" step llama-2-7b 512 1 0.11 1.0
mkdir -p bench/results
python3 tools/gpu_results.py "$JSON" "bench/results/$1.json" "$(git rev-parse --short HEAD)"
