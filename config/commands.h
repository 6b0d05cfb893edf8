// The sub-commands by name, in the order of --help.
#pragma once

#include <array>
#include <string_view>

#include "config/option.h"

namespace dejavu {

struct CommandEntry {
  Command command;
  std::string_view name;  // "bench serve": a command of bench
  std::string_view about;
};

inline constexpr std::array kCommandTable = {
    CommandEntry{kServe, "serve", "start the daemon"},
    CommandEntry{kGenerate, "generate", "continue a prompt on the terminal"},
    CommandEntry{kBench, "bench", "measure decode and prefill speed"},
    CommandEntry{kBenchServe, "bench serve", "measure a running daemon under load"},
    CommandEntry{kPlan, "plan", "say whether a model fits here, and how fast it could be"},
    CommandEntry{kCalibrate, "calibrate", "train predictors for a model and write its artifact"},
    CommandEntry{kAnalyze, "analyze", "find out how contextually sparse a model is"},
    CommandEntry{kEvaluate, "eval", "measure what each sparsity mode costs in quality"},
    CommandEntry{kHealth, "health", "ask a running daemon how it is; exit 0 when it is ready"},
};

inline constexpr bool is_nested(const CommandEntry& entry) {
  return entry.name.find(' ') != std::string_view::npos;
}
inline bool takes(const CommandEntry& entry, const OptionSpec& spec) {
  return (spec.commands & entry.command) != 0;
}

}  // namespace dejavu
