// What a decode step reads of the weights, counted from the shape alone.
#pragma once

#include "engine/model/model_config.h"
#include "engine/model/sparsity_choice.h"

namespace dejavu {

// Bytes of one layer's weights, as models are served (16 bits an element). Biases and norms are too
// small to count.
struct LayerBytes {
  explicit LayerBytes(const ModelConfig& config);

  double attention = 0;
  double skippable_attention = 0;  // of it, what a token without a head need not read: Q and output
  double mlp = 0;
  double skippable_mlp = 0;  // of it, what comes after the first projection
};

// The output projection onto the vocabulary.
double vocabulary_bytes(const ModelConfig& config);

// Of one pass over every layer and the vocabulary.
double weight_bytes(const ModelConfig& config);

// Sparsity that leaves more than this share of them to read is not worth switching on.
inline constexpr double kWorthwhileRead = 0.9;

// The share of the model's weights that a token of these densities takes, computed alone. The
// embedding's one row and the predictors are not counted.
double weight_share(const ModelConfig& config, SparsityMode mode, const TokenDensity& density);

}  // namespace dejavu
