// Calibration of a whole model: its layers in order, each collected, trained, and left behind.
#pragma once

#include "sparsity/calibration/progress.h"
#include "sparsity/evaluation/evaluate.h"

namespace dejavu {

// What is going on, for a progress bar: "layer 3 of 8: training neurons", 120 of 300.
using CalibrationProgress = std::function<void(const std::string& what, int done, int total)>;

// The text in three parts that share no token. Levels, and which of them is the default, are chosen
// on `choose`; `measure` serves the figures that are reported, and nothing else.
struct TextSplits {
  std::span<const TokenWindow> train;
  std::span<const TokenWindow> choose;
  std::span<const TokenWindow> measure;
  std::span<const TokenWindow> train_and_choose;  // the first two, one after the other
};
inline constexpr std::size_t kFewestWindows = 8;
// At least kFewestWindows.
TextSplits split_text(std::span<const TokenWindow> windows);

// Bytes of host memory that calibrating on so many tokens needs at most.
std::size_t calibration_bytes(const ModelConfig& config, std::int64_t tokens);

struct CalibrateArgs {
  LayerStream::Args stream;  // its windows: TextSplits::train_and_choose
  std::int64_t choose_tokens = 0;
  const CalibrationOptions& options;
  const SavedLayers& saved;
};
// Layer 0's heads stay dense. Layers that were saved are not trained again; the result is the same.
Result<std::vector<CalibratedLayer>> calibrate_layers(const CalibrateArgs& args,
                                                      const CalibrationProgress& progress);

// weigh_costs() with what trials cost on `args.windows`; `args.model` was made with the artifact's.
Status weigh_by_trials(const EvaluateArgs& args, const Trials& trials,
                       const CalibrationProgress& progress, std::span<CalibratedLayer> layers);

// Fills in what each level costs, measured on `args.windows` through the layers that
// serve; `args.model` was made with the artifact's.
Status measure_levels(const EvaluateArgs& args, const CalibrationProgress& progress,
                      Artifact& artifact);

}  // namespace dejavu
