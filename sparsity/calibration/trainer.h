// Trains a predictor: AdamW on binary cross-entropy with active units weighted by what they cost
// and both classes balanced, stopped early by the weighted recall on tokens held out, at equal
// density. The matrix products run on the backend in BF16.
#pragma once

#include <functional>

#include "engine/core/result.h"
#include "sparsity/calibration/training_set.h"

namespace dejavu {

struct TrainingOptions {
  int steps = 150;
  int batch = 2048;
  float learning_rate = 5e-3F;  // falls to zero over the steps
  float weight_decay = 0.01F;
  int check_every = 50;  // steps between looks at the tokens held out
  int patience = 2;      // looks without progress before it stops
  std::uint64_t seed = 1;
};

struct TrainingResult {
  TrainedPredictor predictor;  // the best one seen
  double recall = 0;           // on the tokens held out
  double first_recall = 0;     // before training, at the same density
  double density = 0;          // at which both are measured: twice the share of active units
  int steps = 0;
};

using TrainingProgress = std::function<void(int done, int total)>;

// `set` has at least one batch to train on and some tokens held out. Equal arguments give equal
// results.
Result<TrainingResult> train_predictor(TrainedPredictor start, const TrainingSet& set,
                                       const TrainingOptions& options, Backend& backend,
                                       const TrainingProgress& progress);

// Scores of tokens [begin, begin + count): F32 [count][units].
Result<std::vector<float>> predictor_scores(const TrainedPredictor& predictor,
                                            const TrainingSet& set, std::int64_t begin,
                                            std::int64_t count, Backend& backend);

}  // namespace dejavu
