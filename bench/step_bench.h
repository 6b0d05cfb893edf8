// Times whole decode and prefill steps of a transformer on its backend, as design section 8 says:
// configurations alternate step by step, the machine's read bandwidth is sampled between steps,
// and figures are medians over rounds, ratios taken within a round. Sparse modes: sparse_layers.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/sparse_layers.h"
#include "engine/backend/backend.h"
#include "engine/model/transformer.h"

namespace dejavu {

struct StepBenchRow {
  std::string phase;  // "decode" or "prefill"
  std::string mode = "dense";
  int batch = 0;
  int context = 0;
  double tokens_per_second = 0;
  double step_ms = 0;
  // Of a token, of the batch's union, of KV groups over all layers; 1 where a mode drops nothing.
  double mlp_density = 1;
  double union_density = 1;
  double head_density = 1;
  int predictor_rank = 0;         // 0: no predictor
  double bytes_per_step = 0;      // weights, predictors and KV read
  double bandwidth_fraction = 0;  // of the read bandwidth measured around the step
  double tflops = 0;
  // Tokens/s over another row, median of the rounds' ratios: over the dense row of the same batch
  // for a sparse mode, else over the first row of the phase.
  double speedup = 0;
  // Of lookahead, where the modes "inline" and "known" ran beside it: what the predictors take on
  // the main stream, and the share of that which the side stream hides.
  double predictor_ms = 0;  // 0: not measured
  double overlap = 0;
};

struct StepBenchResult {
  std::vector<StepBenchRow> rows;
  double read_gbps = 0;  // median of the samples
};

// Called after each round, from the calling thread.
using RoundProgress = std::function<void(int done, int total)>;

// `layers` made the model's layers.
Result<StepBenchResult> run_step_bench(Transformer& model, Backend& backend,
                                       const StepBenchOptions& options, SparseBenchLayers& layers,
                                       const RoundProgress& progress);

}  // namespace dejavu
