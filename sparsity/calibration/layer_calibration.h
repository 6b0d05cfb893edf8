// One layer's predictors, trained, in 8 bits, with the curves that thresholds are chosen from.
#pragma once

#include <optional>

#include "sparsity/calibration/layer_lesson.h"
#include "sparsity/calibration/score_curves.h"
#include "sparsity/calibration/trainer.h"

namespace dejavu {

struct PredictorOptions {
  int rank = 128;
  bool train = true;          // else the start, with thresholds of its own
  std::int64_t held_out = 0;  // the last tokens: thresholds are chosen on them
  TrainingOptions training;
};

struct CalibratedPredictor {
  PredictorWeights weights;  // without thresholds
  ScoreCurves curves;        // of the tokens held out, scored by the 8-bit weights
  double first_recall = 0;   // before and after training, at equal density
  double recall = 0;
};

// `entering`: normalised streams (Streams::normalized) entering the layer's attention block.
Result<CalibratedPredictor> calibrate_neurons(const LayerLesson& lesson, const Streams& entering,
                                              const PredictorOptions& options, Backend& backend,
                                              const TrainingProgress& progress);
// `before`: the streams that entered the MLP block of the layer before.
Result<CalibratedPredictor> calibrate_heads(const LayerLesson& lesson, const Streams& before,
                                            const PredictorOptions& options, Backend& backend,
                                            const TrainingProgress& progress);

}  // namespace dejavu
