// What a predictor learns from, on the host: normalised inputs in 16 bits and bit-packed labels.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

// The last `held_out` tokens are not trained on.
struct TrainingSet {
  std::int64_t tokens = 0;
  std::int64_t held_out = 0;
  int input = 0;
  int units = 0;
  std::vector<std::uint16_t> inputs;  // BF16 [tokens][input]: z = x / rms(x)
  std::vector<std::uint32_t> labels;  // [tokens][mask_words(units)]: the unit is active

  std::int64_t trained() const { return tokens - held_out; }
  const std::uint16_t* input_row(std::int64_t token) const { return inputs.data() + token * input; }
  const std::uint32_t* label_row(std::int64_t token) const {
    return labels.data() + token * mask_words(units);
  }
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
