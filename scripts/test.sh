#!/usr/bin/env bash
# Installs, builds and runs every test. The last line is "N passed, N failed".
#   scripts/test.sh [--quick]      --quick leaves out the sanitizer builds and fuzzing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

quick=no
if [ "${1:-}" = --quick ]; then
  quick=yes
  shift
fi
[ $# -eq 0 ] || die "unknown argument $1; use: scripts/test.sh [--quick]"

test_packages=(chromium chromium-driver clang clang-format docker-compose dpkg-dev groff-base libclang-rt-14-dev nginx-light openssl prometheus python3 python3-venv
  systemd)
# Any kubectl renders the manifests; Debian's may not be installed beside another.
command -v kubectl >/dev/null || test_packages+=(kubernetes-client)

# Tests under ASan and UBSan; those of rooms with threads under TSan. Left out for the time they take: test_analysis,
# test_evaluation, test_calibration, test_plan and test_app; under TSan test_grpc, which does not end in minutes there.
room_tests=(test_core test_text test_backend test_kv test_model test_sample test_schedule test_sparsity
  test_artifact test_engine test_config test_admin test_load test_grpc test_service test_http)
threaded_tests=(test_core test_backend test_schedule test_sparsity test_engine test_admin test_load test_service test_http)

passed=0 failed=0 skipped=0
failures=()
log=$(mktemp)
failed_output=$(mktemp) # what failing tests printed: shown again at the end, where it is found
trap 'rm -f "$log" "$failed_output"' EXIT

# count PASSED FAILED SKIPPED NAME
count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
  skipped=$((skipped + $3))
  if [ "$2" -gt 0 ]; then failures+=("$4"); fi
}

# check NAME COMMAND...: one test, passed when the command is.
check() {
  local name=$1
  shift
  say "$name"
  if "$@"; then count 1 0 0 "$name"; else count 0 1 0 "$name"; fi
}

# run_ctest FOLDER [ctest options]
run_ctest() {
  local folder=$1 total=0 bad=0 left_out
  shift
  say "Tests of $folder"
  ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$(nproc)" "$@" 2>&1 | tee "$log" || true
  read -r bad total < <(sed -nE 's/.* ([0-9]+) tests failed out of ([0-9]+).*/\1 \2/p' "$log" | tail -n 1) || true
  left_out=$(grep -c '\*\*\*Skipped' "$log") || true
  # A failing test's output follows its line, up to the next test's.
  awk '/^ *(Start +[0-9]+:|[0-9]+\/[0-9]+ Test)/ { show = 0 } /\*\*\*/ && !/\*\*\*Skipped/ { show = 1 } show' "$log" >>"$failed_output"
  if [ "${total:-0}" -eq 0 ]; then
    count 0 1 0 "$folder: no tests ran"
  else
    count $((total - bad - left_out)) "$bad" "$left_out" "$folder"
  fi
}

# run_pytest FOLDER: sums what pytest's last line says.
run_pytest() {
  local code=0
  say "Tests of $1 (pytest)"
  .venv/bin/python -m pytest -q "$1" 2>&1 | tee "$log" || code=$?
  number() { sed -nE "s/.*[^0-9]([0-9]+) $1.*/\1/p" <(sed 's/^/ /' "$log" | tail -n 1); }
  local ok bad errors skips
  ok=$(number passed) bad=$(number failed) errors=$(number errors?) skips=$(number skipped)
  bad=$((${bad:-0} + ${errors:-0}))
  if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$bad" -gt 0 ]; then sed -n '/^=* \(FAILURES\|ERRORS\) =*$/,$p' "$log" >>"$failed_output"; fi
  count "${ok:-0}" "$bad" "${skips:-0}" "$1"
}

python_packages() {
  local wanted=tests/e2e/requirements.txt
  if cmp -s "$wanted" .venv/installed.txt; then
    say "Python packages: all there"
    return
  fi
  say "Python packages: installing $wanted into .venv"
  python3 -m venv .venv
  .venv/bin/python -m pip install --disable-pip-version-check -r "$wanted"
  cp "$wanted" .venv/installed.txt
}

cpp_files() { git ls-files -co --exclude-standard '*.h' '*.cpp' '*.cu' '*.cuh'; }
format_cpp() { cpp_files | xargs clang-format-14 --dry-run -Werror; }
lint_python() { .venv/bin/ruff check . && .venv/bin/ruff format --check tests; }
lint_shell() { local f; for f in $(git ls-files '*.sh') .ci/run; do bash -n "$f" || return 1; done; }

# Tests under a sanitizer: FOLDER "SANITIZERS" TARGET..., run as far as their binaries are built.
sanitized() {
  local folder=$1 sanitizers=$2
  shift 2
  if build "$folder" "-DDEJAVU_SANITIZE=$sanitizers -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -DDEJAVU_SERVER=ON -DDEJAVU_CUDA=OFF" "$@"; then
    run_ctest "$folder" -R "^($(IFS='|'; echo "$*")):"
  else
    count 0 1 0 "$folder does not build"
  fi
}

require_debian_12
install_packages "${build_packages[@]}" "${test_packages[@]}"
python_packages
if build build ""; then
  run_ctest build
  run_pytest tests/e2e
  run_pytest tests/deploy
else
  count 0 1 0 "the build"
fi
check "Format of C++ (clang-format 14)" format_cpp
check "Python (ruff)" lint_python
check "Shell syntax" lint_shell

if [ "$quick" = no ]; then
  sanitized build-asan address,undefined "${room_tests[@]}"
  sanitized build-tsan thread "${threaded_tests[@]}"
  check "Fuzzing the model loader" tests/fuzz/run.sh 30
fi

if [ ${#failures[@]} -gt 0 ]; then
  say "What failed, once more"
  tail -n 400 "$failed_output"
  say "Failed in:"
  printf '  %s\n' "${failures[@]}"
fi
summary="$passed passed, $failed failed"
if [ "$skipped" -gt 0 ]; then summary="$summary, $skipped skipped"; fi
echo "$summary"
[ "$failed" -eq 0 ]
