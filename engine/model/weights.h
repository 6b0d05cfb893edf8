// A model's weights in backend memory, in the layouts that let a selected neuron or head be one
// contiguous read (design, section 6). Matrices have the compute dtype, biases and norm weights are
// F32. d model width, H query heads, G KV heads, D head_dim.
#pragma once

#include <functional>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/model_config.h"
#include "engine/model/weight_source.h"

namespace dejavu {

struct NormWeights {
  const float* weight = nullptr;  // [d]; null: ones
  const float* bias = nullptr;    // [d]; null: zeros
};

struct AttentionWeights {
  ConstMatrix qkv;                  // [H*D + 2*G*D][d]: Q rows head-major, then K, then V
  const float* qkv_bias = nullptr;  // [H*D + 2*G*D]; null: none
  ConstMatrix out;                  // [H*D][d]: one row a (head, dim)
  const float* out_bias = nullptr;  // [d]; null: none
};

// One row a neuron in each; matrices apart, since a dense step reads a row's neighbours next: rows
// of [up, down] together would make each of its passes skip every other stretch of memory, which
// the hardware fetches all the same.
struct MlpWeights {
  ConstMatrix gate;                  // [ffn][d]; null data: plain MLP
  ConstMatrix up;                    // [ffn][d]
  ConstMatrix down;                  // [ffn][d]
  const float* gate_bias = nullptr;  // [ffn]; null: none
  const float* up_bias = nullptr;    // [ffn]; null: none
  const float* down_bias = nullptr;  // [d]; null: none
};

struct LayerWeights {
  NormWeights attention_norm;
  AttentionWeights attention;
  NormWeights mlp_norm;
  MlpWeights mlp;
};

struct Weights {
  DType dtype = DType::kF32;
  ConstMatrix tokens;     // [vocab][d]; OPT's project_in is folded in
  ConstMatrix positions;  // [max_position + 2][d]; null data: RoPE
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  ConstMatrix project_out;       // [embedding][d]; null data: none
  ConstMatrix head;              // [vocab][embedding]; the token table itself when tied
  std::size_t bytes = 0;         // all of them
  std::size_t decode_bytes = 0;  // read by one decode step at batch 1: layers, head, projection
  std::vector<Buffer> storage;
};

// Called while weights load, from the calling thread: bytes done of bytes in all.
using LoadProgress = std::function<void(std::size_t done, std::size_t total)>;

struct WeightLoadArgs {
  const ModelConfig& config;
  const WeightSource& source;
  std::string prefix;  // of every name but lm_head's: "model.decoder.", "model.", …
  DType dtype = DType::kF32;
  const LoadProgress& progress;  // may be empty
};

// Every tensor is checked before the first byte is converted. Beside the result it needs a few
// tens of megabytes of host memory.
Result<Weights> load_weights(const WeightLoadArgs& args, Backend& backend);

}  // namespace dejavu
