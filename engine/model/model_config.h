// The architecture of a model, from a Hugging Face config.json or a named shape.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
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
  float attention_factor = 1.0F;  // yarn: scales cos and sin
  float beta_fast = 32.0F;        // yarn
  float beta_slow = 1.0F;         // yarn
  bool truncate = true;           // yarn: whole dimensions bound the ramp
  int original_max_position = 0;  // positions the unscaled frequencies were trained for
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
  int sliding_window = 0;      // 0: none
  int sliding_from_layer = 0;  // layers below attend to everything (qwen2's max_window_layers)
  NormKind norm = NormKind::kLayerNorm;
  float norm_epsilon = 1e-5F;
  bool norm_affine = true;  // norms have weights (layer norms also biases)
  bool norm_before = true;  // false: OPT-350M's post-norm
  bool final_norm = true;
  bool learned_positions = true;  // OPT, offset 2
  RopeConfig rope;
  bool qkv_bias = false;
  bool attention_out_bias = false;
  bool mlp_bias = false;
  bool tied_head = true;
  bool gated_mlp = false;
  Activation activation = Activation::kRelu;
  float activation_threshold = 0.0F;  // fatrelu
  std::optional<DType> stored_dtype;  // config.json's dtype; absent: the tensors' own
  int bos_token_id = -1;
  std::vector<int> eos_token_ids;

  std::int64_t parameter_count() const;
  int window(int layer) const { return layer < sliding_from_layer ? 0 : sliding_window; }
  // The longest sequence the positions can serve, which a RoPE scaling may put beyond max_position.
  int longest_context() const;

  // Errors name the file, the key, what was found and what is supported. gated_mlp is what the
  // family has as a rule; a checkpoint without gate_proj tensors overrules it.
  static Result<ModelConfig> from_file(const std::filesystem::path& config_json);
  // The same on text in memory; `name` stands for the file in messages.
  static Result<ModelConfig> parse(std::string_view text, const std::string& name);
  // "opt-125m" … "opt-175b", "llama-2-7b", …: for benchmarks with random weights. The error lists
  // them.
  static Result<ModelConfig> named_shape(std::string_view name);
};

}  // namespace dejavu
