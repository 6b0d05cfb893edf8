// Small shapes with odd sizes, for tests with random weights.
#pragma once

#include "engine/model/model_config.h"

namespace dejavu {

// Learned positions, layer norm, biases, plain ReLU MLP, tied head.
ModelConfig tiny_opt();
// RoPE, RMS norm, grouped queries, gated SiLU MLP, separate head.
ModelConfig tiny_llama();

}  // namespace dejavu
