// The executable: reads the command line and hands over to a sub-command.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "config/command_line.h"
#include "server/cli/commands.h"

namespace {

constexpr int kUsageError = 2;

struct Handler {
  dejavu::Command command;
  dejavu::Result<int> (*run)(const dejavu::CommandLine&);
};
constexpr Handler kHandlers[] = {
    {dejavu::kServe, dejavu::run_serve},     {dejavu::kGenerate, dejavu::run_generate},
    {dejavu::kBench, dejavu::run_bench},     {dejavu::kBenchServe, dejavu::run_bench_serve},
    {dejavu::kAnalyze, dejavu::run_analyze}, {dejavu::kCalibrate, dejavu::run_calibrate},
    {dejavu::kEvaluate, dejavu::run_eval},   {dejavu::kPlan, dejavu::run_plan},
    {dejavu::kHealth, dejavu::run_health},
};

int refuse(const std::string& message) {
  std::fprintf(stderr, "dejavu: %s\n", message.c_str());
  return kUsageError;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<const char* const> args(argv + 1, static_cast<std::size_t>(argc - 1));
  const auto line = dejavu::parse_command_line(args, dejavu::dejavu_environment(environ));
  if (!line) return refuse(line.error().message);
  for (const std::string& warning : line->warnings) {
    std::fprintf(stderr, "dejavu: warning: %s\n", warning.c_str());
  }
  if (!line->output.empty()) {
    std::fputs(line->output.c_str(), stdout);
    return 0;
  }
  const auto* entry =
      std::find_if(std::begin(kHandlers), std::end(kHandlers),
                   [&](const Handler& candidate) { return candidate.command == line->command; });
  const auto code = entry->run(*line);
  return code ? *code : refuse(code.error().message);
}
