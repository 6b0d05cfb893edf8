// Calibration of a whole model: its layers in order, each collected, trained, and left behind.
#pragma once

#include "sparsity/calibration/levels.h"
#include "sparsity/evaluation/evaluate.h"

namespace dejavu {

// What is going on, for a progress bar: "layer 3 of 8: training neurons", 120 of 300.
using CalibrationProgress = std::function<void(const std::string& what, int done, int total)>;

// Bytes of host memory that calibrating on so many tokens needs at most.
std::size_t calibration_bytes(const ModelConfig& config, std::int64_t tokens);

// `args.windows`: the last eighth is held out. Layer 0's heads stay dense.
Result<std::vector<CalibratedLayer>> calibrate_layers(const LayerStream::Args& args,
                                                      const CalibrationOptions& options,
                                                      const CalibrationProgress& progress);

// Fills in what each lookahead level costs, measured on `args.windows` (held out) through the
// layers that serve; `args.model` was made with the artifact's.
Status measure_levels(const EvaluateArgs& args, Artifact& artifact);

}  // namespace dejavu
