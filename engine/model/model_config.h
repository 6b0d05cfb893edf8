// The architecture of a model, from a Hugging Face config.json or a named shape.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/result.h"

namespace dejavu {

enum class ModelFamily : std::uint8_t { kOpt, kLlama };

// RoPE parameters and the published scalings; frequencies are computed by engine/model/rope.h.
struct RopeConfig {
  enum class Scaling : std::uint8_t { kNone, kLinear, kDynamic, kYarn, kLlama3 };
  float theta = 10000.0F;
  Scaling scaling = Scaling::kNone;
  float factor = 1.0F;
  float low_freq_factor = 1.0F;   // llama3
  float high_freq_factor = 4.0F;  // llama3
  float attention_factor = 0.0F;  // yarn; 0: derived
  float beta_fast = 32.0F;        // yarn
  float beta_slow = 1.0F;         // yarn
  int original_max_position = 0;
};

struct ModelConfig {
  ModelFamily family = ModelFamily::kOpt;
  std::string architecture;  // as config.json names it
  int vocab_size = 0;
  int hidden_size = 0;     // d
  int embedding_size = 0;  // OPT word_embed_proj_dim; equals hidden_size elsewhere
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn_size = 0;
  int max_position = 0;
  int sliding_window = 0;  // 0: none
  NormKind norm = NormKind::kLayerNorm;
  float norm_epsilon = 1e-5F;
  bool norm_before = true;  // false: OPT-350M's post-norm
  bool final_norm = true;
  bool learned_positions = true;  // OPT, offset 2
  RopeConfig rope;
  bool tied_head = true;
  bool gated_mlp = false;
  Activation activation = Activation::kRelu;
  float activation_threshold = 0.0F;  // fatrelu
  DType stored_dtype = DType::kF32;   // config.json's dtype; what --dtype auto starts from
  int bos_token_id = -1;
  std::vector<int> eos_token_ids;

  std::int64_t parameter_count() const;

  static Result<ModelConfig> from_file(const std::filesystem::path& config_json);
  // "opt-125m" … "opt-175b", "llama-2-7b", …: for benchmarks with random weights. The error lists
  // them.
  static Result<ModelConfig> named_shape(std::string_view name);
};

}  // namespace dejavu
