// Times whole decode and prefill steps of a transformer on its backend, as design section 8 says:
// configurations alternate step by step, the machine's read bandwidth is sampled between rounds,
// and figures are medians over rounds, ratios taken within a round.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/options.h"
#include "engine/backend/backend.h"
#include "engine/model/transformer.h"

namespace dejavu {

struct StepBenchRow {
  std::string phase;  // "decode" or "prefill"
  int batch = 0;
  int context = 0;
  double tokens_per_second = 0;
  double step_ms = 0;
  double bytes_per_step = 0;      // weights and KV read
  double bandwidth_fraction = 0;  // of the read bandwidth measured around the step
  double tflops = 0;
  double speedup = 0;  // tokens/s over the first row of the phase, median of the rounds' ratios
};

struct StepBenchResult {
  std::vector<StepBenchRow> rows;
  double read_gbps = 0;  // median of the samples
};

// Called after each round, from the calling thread.
using RoundProgress = std::function<void(int done, int total)>;

Result<StepBenchResult> run_step_bench(Transformer& model, Backend& backend,
                                       const StepBenchOptions& options,
                                       const RoundProgress& progress);

}  // namespace dejavu
