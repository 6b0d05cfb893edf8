// Sends prompts at the wanted rate and concurrency, and gathers what they saw.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "server/load/load_target.h"
#include "server/load/options.h"

namespace dejavu {

struct LoadRun {
  double seconds = 0;  // first request sent to last one ended
  std::vector<LoadRecord> records;
};

struct LoadProgress {
  int sent = 0;
  int ended = 0;
  int failed = 0;
};

// Gaps between arrivals are drawn from a gamma distribution (shape: burstiness) whose mean is one
// over the request rate. `progress` is called about once a second, from this thread.
LoadRun run_load(LoadTarget& target, const std::vector<LoadPrompt>& prompts,
                 const LoadOptions& options, std::uint64_t seed,
                 const std::function<void(const LoadProgress&)>& progress);

}  // namespace dejavu
