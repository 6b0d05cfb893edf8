// What a load run says: a table for people and JSON for programs.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/core/result.h"
#include "server/load/run_load.h"

namespace dejavu {

// Limits a request must meet to count as good, in seconds.
struct GoodputLimits {
  std::optional<double> ttft, tpot, e2el;
};
// Items are written ttft:MS, tpot:MS or e2el:MS.
Result<GoodputLimits> parse_goodput(const std::vector<std::string>& items);

// Mean and percentiles, in milliseconds.
struct Spread {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0;
};

struct LoadReport {
  double seconds = 0;
  int completed = 0;
  std::map<std::string, int> errors;  // message → how often
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::optional<int> good;  // requests within the limits, when there are any
  Spread ttft, tpot, itl, e2el;
};

LoadReport make_report(const LoadRun& run, const GoodputLimits& limits);
std::string to_table(const LoadReport& report);
nlohmann::ordered_json to_json(const LoadReport& report);

}  // namespace dejavu
