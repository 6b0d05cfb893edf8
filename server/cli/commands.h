// The sub-commands, one file each. An Error means the command could not start (exit code 2);
// otherwise the value is the exit code: 0, or 1 for a failure on the way.
#pragma once

#include "config/command_line.h"
#include "engine/core/result.h"

namespace dejavu {

Result<int> run_serve(const CommandLine& line);
Result<int> run_generate(const CommandLine& line);
Result<int> run_bench(const CommandLine& line);
Result<int> run_bench_serve(const CommandLine& line);
Result<int> run_analyze(const CommandLine& line);
Result<int> run_calibrate(const CommandLine& line);
Result<int> run_eval(const CommandLine& line);
Result<int> run_plan(const CommandLine& line);
Result<int> run_health(const CommandLine& line);

}  // namespace dejavu
