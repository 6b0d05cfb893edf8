// What a predictor learns from, on the host: normalised inputs in 16 bits, and labels.
#pragma once

#include <vector>

#include "sparsity/calibration/unit_labels.h"

namespace dejavu {

// The last `held_out` tokens are not trained on.
struct TrainingSet {
  std::int64_t tokens = 0;
  std::int64_t held_out = 0;
  int input = 0;
  int units = 0;
  std::vector<std::uint16_t> inputs;  // BF16 [tokens][input]: z = x / rms(x)
  const UnitLabels& labels;           // of at least `tokens` tokens

  std::int64_t trained() const { return tokens - held_out; }
  const std::uint16_t* input_row(std::int64_t token) const { return inputs.data() + token * input; }
};

// A predictor before its weights become 8-bit (engine/backend/backend.h, PredictorView).
struct TrainedPredictor {
  int input = 0;
  int rank = 0;  // input, where there is no `down`
  int units = 0;
  std::vector<float> down;  // [rank][input]; empty: none
  std::vector<float> up;    // [units][rank]
  std::vector<float> bias;  // [units]
};

}  // namespace dejavu
