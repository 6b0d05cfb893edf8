// Helpers of the option tables, and the tables themselves, one a group of options.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "config/option.h"

namespace dejavu {

inline constexpr std::int64_t kAnyInt = std::numeric_limits<int>::max();
inline constexpr double kAnyNumber = std::numeric_limits<double>::max();
inline constexpr unsigned kLoadsModel = kServe | kGenerate;
inline constexpr unsigned kComputes = kLoadsModel | kBench;
inline constexpr unsigned kReadsText = kAnalyze | kEvaluate | kCalibrate;
inline constexpr unsigned kUsesDevice = kComputes | kReadsText | kPlan;
inline constexpr unsigned kTalks = kBenchServe | kHealth;

// The field Config::*Group.*Member.
template <auto Group, auto Member>
auto& at(Config& config) {
  return config.*Group.*Member;
}

// A choice whose index among `names` is the value of an enum or bool field.
template <auto Group, auto Member>
ChoiceField choice(std::vector<std::string_view> names) {
  return {std::move(names),
          [](const Config& c) { return static_cast<std::size_t>(c.*Group.*Member); },
          [](Config& c, std::size_t i) {
            auto& field = c.*Group.*Member;
            field = static_cast<std::remove_reference_t<decltype(field)>>(i);
          }};
}

std::vector<OptionSpec> model_options();        // the model and where it is computed
std::vector<OptionSpec> sparsity_options();     // contextual sparsity
std::vector<OptionSpec> daemon_options();       // the servers, limits and logs
std::vector<OptionSpec> generate_options();     // sampling of `dejavu generate`
std::vector<OptionSpec> bench_options();        // the step benchmark
std::vector<OptionSpec> calibration_options();  // training predictors
std::vector<OptionSpec> text_options();         // commands that read text
std::vector<OptionSpec> client_options();       // commands that talk to a daemon, and their output

}  // namespace dejavu
