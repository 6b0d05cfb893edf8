#!/usr/bin/env bash
# Everything that docs/benchmarks.md says about a GPU, on this machine's: installs packages, builds, and writes
#   bench/results/NAME.json    steps and kernels
#   bench/results/NAME/        what every command printed, and the daemon's measurements
# scripts/bench-gpu.sh NAME [COMMIT]      COMMIT: default: of this checkout
# Takes about 20 minutes after the build. Ends with an error when one of its commands failed, after running all.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ $# -ge 1 ] || die "use: scripts/bench-gpu.sh NAME [COMMIT]"
out=bench/results/$1
commit=${2:-$(git rev-parse --short HEAD)}
require_debian_12 "$@"
install_packages "${build_packages[@]}" python3
PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || die "No nvcc here: install the CUDA toolkit, or put it on the PATH."
build build "" dejavu gpu_bench test_device

mkdir -p "$out"
export JSON=$out/steps.jsonl
rm -f "$JSON"
dejavu=build/dejavu
model=models/demo
text=bench/valid.jsonl
failures=()
daemons=()
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; kill "${daemons[@]}" 2>/dev/null || true' EXIT

# record FILE COMMAND...: what it prints is shown and kept.
record() {
  local file=$out/$1
  shift
  say "$*"
  "$@" 2>&1 | tee "$file" || failures+=("$*")
}

record tests.txt build/test_device -d yes
if sanitizer=$(command -v compute-sanitizer); then
  record memcheck.txt "$sanitizer" --tool memcheck --error-exitcode 9 build/test_device "~wide*"
else
  say "No compute-sanitizer here: left out"
fi

step() { record "step-$1-$2-$3-$4.txt" build/gpu_bench step "$@"; }
step opt-30b 512 1 0.2 0.5
step opt-30b 512 1 0.1 0.3
step opt-6.7b 512 1,16 0.1 0.3
step opt-6.7b 1024 32 0.1 0.5 0.52
step llama-2-7b 512 1 0.11 1.0
record kernels-30b.txt build/gpu_bench kernels 7168 28672 56
record kernels-6.7b.txt build/gpu_bench kernels 4096 16384 32
record timeline-30b.txt build/gpu_bench timeline opt-30b 512 1 0.2 0.5
record timeline-6.7b.txt build/gpu_bench timeline opt-6.7b 512 1 0.1 0.3
python3 tools/gpu_results.py "$JSON" "$out.json" "$commit"
python3 tools/gpu_tables.py "$out.json"
python3 tools/make_timeline.py "$out.json"

for dtype in float32 float16 bfloat16; do
  record "eval-$dtype.txt" "$dejavu" eval "$model" --device cuda --dtype "$dtype" --text "$text" \
    --modes dense,exact,lookahead --max-tokens 57344 --json "$out/eval-$dtype.json"
done
record eval-cpu.txt "$dejavu" eval "$model" --device cpu --dtype float32 --text "$text" \
  --modes dense,exact,lookahead --max-tokens 57344 --json "$out/eval-cpu.json"
record eval-compared.txt python3 tools/compare_eval.py "$out"/eval-{cpu,float32,float16,bfloat16}.json
record calibrate.txt "$dejavu" calibrate "$model" --device cuda --text "$text" --max-tokens 32768 --out "$scratch"

stop() {
  local daemon
  for daemon in "${daemons[@]}"; do
    kill "$daemon"
    wait "$daemon" || failures+=("a daemon's end after SIGTERM")
  done
  daemons=()
}
# serve PORT OPTION...: a daemon at PORT, its gRPC at PORT + 1; returns when it is ready.
serve() {
  local port=$1
  shift
  "$dejavu" serve "$model" --port "$port" --grpc-port $((port + 1)) "$@" >"$out/daemon-$port.log" 2>&1 &
  daemons+=($!)
  for _ in $(seq 120); do
    if "$dejavu" health --url "http://127.0.0.1:$port" >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  die "The daemon does not come up; see $out/daemon-$port.log"
}
load() {
  record "$1.txt" "$dejavu" bench serve --url "$2" --max-concurrency "$3" --num-prompts $((4 * $3)) \
    --random-input-len 32 --random-output-len 128 --ignore-eos --json "$out/$1.json"
}
serve 8100 --device cuda
load http-1 http://127.0.0.1:8100 1
load http-16 http://127.0.0.1:8100 16
load grpc-64 grpc://127.0.0.1:8101 64
stop
for kind in beside inline; do  # the predictors' overlap, and what it gains
  port=$([ "$kind" = beside ] && echo 8140 || echo 8150)
  options=(--sparsity lookahead --audit-interval 8)
  [ "$kind" = beside ] || options+=(--inline-predictors)
  serve "$port" --device cuda "${options[@]}"
  load "lookahead-$kind-1" "http://127.0.0.1:$port" 1
  load "lookahead-$kind-8" "http://127.0.0.1:$port" 8
  record "metrics-$kind.txt" curl -fsS "http://127.0.0.1:$port/metrics"
  stop
done
serve 8110 --device cpu --dtype float32
for dtype in float16 bfloat16; do
  port=$([ "$dtype" = float16 ] && echo 8120 || echo 8130)
  serve "$port" --device cuda --dtype "$dtype" --gpu-memory-utilization 0.4
  record "agreement-$dtype.txt" python3 tools/teacher_forced.py http://127.0.0.1:8110 "http://127.0.0.1:$port"
done
stop

[ ${#failures[@]} -eq 0 ] || die "Failed:" "${failures[@]}"
say "Done: $out.json, $out/"
