#include "engine/model/model_config.h"

#include <algorithm>
#include <cmath>

#include "engine/model/config_reader.h"
#include "engine/model/json_text.h"
#include "engine/model/mapped_file.h"
#include "engine/model/rope.h"

namespace dejavu {
namespace {

using nlohmann::json;

// Beyond these a size is a mistake; every product of two of them fits in 64 bits.
constexpr IntRange kVocab{1, 1 << 24};
constexpr IntRange kWidth{1, 1 << 20};
constexpr IntRange kLayers{1, 1 << 12};
constexpr IntRange kHeads{1, 1 << 12};
constexpr IntRange kHeadDim{1, 1 << 12};
constexpr IntRange kPositions{1, 1 << 24};
constexpr IntRange kTokenId{-1, 1 << 30};

// What Hugging Face assumes of a family where config.json is silent.
struct FamilyDefaults {
  std::string_view model_type;
  std::string_view class_prefix;
  ModelFamily family;
  std::string_view activation;
  float norm_epsilon;
  int max_position;
  int kv_heads;        // 0: as many as heads
  int sliding_window;  // 0: none
  bool qkv_bias;
  bool gated;
};
constexpr FamilyDefaults kFamilies[] = {
    {"opt", "OPT", ModelFamily::kOpt, "relu", 1e-5F, 2048, 0, 0, true, false},
    {"llama", "Llama", ModelFamily::kLlama, "silu", 1e-6F, 2048, 0, 0, false, true},
    {"mistral", "Mistral", ModelFamily::kLlama, "silu", 1e-6F, 131072, 8, 4096, false, true},
    {"qwen2", "Qwen2", ModelFamily::kLlama, "silu", 1e-6F, 32768, 32, 4096, true, true},
    {"arcee", "Arcee", ModelFamily::kLlama, "relu2", 1e-5F, 4096, 0, 0, false, false},
};

constexpr std::string_view kActivations =
    "relu, relu2, silu, swish, gelu, gelu_new, gelu_pytorch_tanh, fatrelu";

std::optional<Activation> activation_named(std::string_view name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "relu2") return Activation::kRelu2;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return Activation::kGeluTanh;
  if (name == "fatrelu") return Activation::kFatRelu;
  return {};
}

void read_activation(ConfigReader& in, std::string_view key, std::string_view fallback,
                     ModelConfig& config) {
  const std::string name = in.text(key, fallback);
  const std::optional<Activation> activation = activation_named(name);
  if (!activation) return in.unsupported(key, name, kActivations);
  config.activation = *activation;
  if (*activation != Activation::kFatRelu) return;
  const std::string_view threshold =
      in.has("activation_threshold") ? "activation_threshold" : "hidden_act_param";
  config.activation_threshold = in.real(threshold);
  if (config.activation_threshold < 0) in.refuse(threshold, "must not be negative for fatrelu");
}

void read_stored_dtype(ConfigReader& in, ModelConfig& config) {
  const std::string_view key = in.has("dtype") ? "dtype" : "torch_dtype";
  const std::string name = in.text(key, "");
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    if (name == dtype_name(dtype)) config.stored_dtype = dtype;
  if (!name.empty() && !config.stored_dtype)
    in.unsupported(key, name, "float32, float16, bfloat16");
}

void read_token_ids(ConfigReader& in, ModelConfig& config) {
  config.bos_token_id = in.integer("bos_token_id", kTokenId, -1);
  if (!in.has("eos_token_id")) return;
  const json& eos = in.at("eos_token_id");
  const json ids = eos.is_array() ? eos : json::array({eos});
  for (const json& id : ids) {
    if (!id.is_number_integer() || id < kTokenId.min || id > kTokenId.max)
      return in.refuse("eos_token_id", "must be a token id or a list of token ids");
    if (id >= 0) config.eos_token_ids.push_back(id.get<int>());
  }
}

void check_heads(ConfigReader& in, const ModelConfig& config) {
  if (config.heads % config.kv_heads != 0)
    in.refuse("num_key_value_heads", "(" + std::to_string(config.kv_heads) +
                                         ") does not divide num_attention_heads (" +
                                         std::to_string(config.heads) + ")");
}

int derived_head_dim(ConfigReader& in, const ModelConfig& config) {
  if (config.hidden_size % config.heads != 0) {
    in.refuse("num_attention_heads", "(" + std::to_string(config.heads) +
                                         ") does not divide hidden_size (" +
                                         std::to_string(config.hidden_size) + ")");
  }
  return std::max(1, config.hidden_size / config.heads);
}

void read_opt(ConfigReader& in, ModelConfig& config) {
  config.ffn_size = in.integer("ffn_dim", kWidth);
  config.embedding_size = in.integer("word_embed_proj_dim", kWidth, config.hidden_size);
  config.kv_heads = config.heads;
  config.head_dim = derived_head_dim(in, config);
  config.norm = NormKind::kLayerNorm;
  config.norm_before = in.boolean("do_layer_norm_before", true);
  config.final_norm = config.norm_before && !in.boolean("_remove_final_layer_norm", false);
  config.norm_affine = in.boolean("layer_norm_elementwise_affine", true);
  const bool bias = in.boolean("enable_bias", true);
  config.qkv_bias = config.attention_out_bias = config.mlp_bias = bias;
  config.tied_head = in.boolean("tie_word_embeddings", true);
  read_activation(in, "activation_function", "relu", config);
}

void read_sliding_window(ConfigReader& in, const FamilyDefaults& defaults, ModelConfig& config) {
  if (defaults.sliding_window == 0) return;
  const bool qwen2 = defaults.model_type == "qwen2";
  if (qwen2 && !in.boolean("use_sliding_window", false)) return;
  const int unnamed = in.contains("sliding_window") ? 0 : defaults.sliding_window;
  config.sliding_window = in.integer("sliding_window", {0, kPositions.max}, unnamed);
  if (!qwen2) return;
  config.sliding_from_layer = in.integer("max_window_layers", {0, kLayers.max}, 28);
  if (!in.has("layer_types")) return;
  const json& types = in.at("layer_types");
  bool expected = types.is_array() && types.size() == static_cast<std::size_t>(config.layers);
  for (int layer = 0; expected && layer < config.layers; ++layer) {
    expected = types[static_cast<std::size_t>(layer)] ==
               (config.window(layer) > 0 ? "sliding_attention" : "full_attention");
  }
  if (!expected) {
    in.refuse("layer_types",
              "must name one kind for each layer: full_attention below max_window_layers and "
              "sliding_attention from there on; other mixtures are not supported");
  }
}

void read_llama(ConfigReader& in, const FamilyDefaults& defaults, ModelConfig& config) {
  config.ffn_size = in.integer("intermediate_size", kWidth);
  config.embedding_size = config.hidden_size;
  const bool own_count = defaults.kv_heads == 0 || in.contains("num_key_value_heads");
  config.kv_heads =
      in.integer("num_key_value_heads", kHeads, own_count ? config.heads : defaults.kv_heads);
  config.head_dim =
      in.has("head_dim") ? in.integer("head_dim", kHeadDim) : derived_head_dim(in, config);
  if (config.head_dim % 2 != 0)
    in.refuse("head_dim", "is " + std::to_string(config.head_dim) + "; RoPE needs an even one");
  config.norm = NormKind::kRmsNorm;
  config.norm_epsilon = in.real("rms_norm_eps", defaults.norm_epsilon);
  if (config.norm_epsilon < 0) in.refuse("rms_norm_eps", "must not be negative");
  config.learned_positions = false;
  const bool may_have_bias = defaults.model_type == "llama" || defaults.model_type == "arcee";
  const bool attention_bias = may_have_bias && in.boolean("attention_bias", false);
  config.qkv_bias = defaults.qkv_bias || attention_bias;
  config.attention_out_bias = attention_bias;
  config.mlp_bias = may_have_bias && in.boolean("mlp_bias", false);
  config.gated_mlp = defaults.gated;
  config.tied_head = in.boolean("tie_word_embeddings", false);
  read_activation(in, "hidden_act", defaults.activation, config);
  read_sliding_window(in, defaults, config);
  config.rope = read_rope(in, config.max_position);
}

const FamilyDefaults* find_family(ConfigReader& in) {
  const std::string type = in.text("model_type", "");
  for (const FamilyDefaults& family : kFamilies)
    if (family.model_type == type) return &family;
  in.unsupported("model_type", type, "opt, llama, mistral, qwen2, arcee");
  return nullptr;
}

// An encoder, a classifier or another class with a supported model_type is still not servable.
void read_architecture(ConfigReader& in, const FamilyDefaults& family, ModelConfig& config) {
  const std::string served = std::string(family.class_prefix) + "ForCausalLM";
  config.architecture = served;
  if (!in.has("architectures")) return;
  const json& names = in.at("architectures");
  if (!names.is_array() || names.empty() || !names[0].is_string())
    return in.refuse("architectures", "must be a list of class names");
  config.architecture = names[0].get<std::string>();
  const std::string bare = std::string(family.class_prefix) + "Model";
  if (config.architecture != served && config.architecture != bare)
    in.unsupported("architectures", config.architecture, served);
}

ModelConfig read_config(ConfigReader& in) {
  ModelConfig config;
  const FamilyDefaults* family = find_family(in);
  if (family == nullptr) return config;
  config.family = family->family;
  read_architecture(in, *family, config);
  if (in.has("quantization_config")) {
    in.refuse("quantization_config",
              "is set: quantized checkpoints are not supported; use the float32, float16 or "
              "bfloat16 original");
  }
  config.vocab_size = in.integer("vocab_size", kVocab);
  config.hidden_size = in.integer("hidden_size", kWidth);
  config.layers = in.integer("num_hidden_layers", kLayers);
  config.heads = in.integer("num_attention_heads", kHeads);
  config.max_position = in.integer("max_position_embeddings", kPositions, family->max_position);
  if (in.failed()) return config;
  if (config.family == ModelFamily::kOpt) {
    read_opt(in, config);
  } else {
    read_llama(in, *family, config);
  }
  check_heads(in, config);
  read_stored_dtype(in, config);
  read_token_ids(in, config);
  return config;
}

}  // namespace

int ModelConfig::longest_context() const {
  if (learned_positions) return max_position;
  const auto scaled = [this](int positions) {
    const double longest = static_cast<double>(rope.factor) * static_cast<double>(positions);
    return static_cast<int>(std::clamp(longest, static_cast<double>(max_position), 0x1p24));
  };
  switch (rope.scaling) {
    case RopeConfig::Scaling::kNone:
    case RopeConfig::Scaling::kLlama3:
      return max_position;
    case RopeConfig::Scaling::kLinear:
    case RopeConfig::Scaling::kDynamic:
      return scaled(max_position);
    case RopeConfig::Scaling::kYarn:
      return scaled(rope.original_max_position);
  }
  return max_position;
}

std::int64_t ModelConfig::parameter_count() const {
  const std::int64_t d = hidden_size;
  const std::int64_t q = static_cast<std::int64_t>(heads) * head_dim;
  const std::int64_t kv = static_cast<std::int64_t>(kv_heads) * head_dim;
  const std::int64_t ffn = ffn_size;
  const std::int64_t norm_size = !norm_affine ? 0 : norm == NormKind::kLayerNorm ? 2 * d : d;
  std::int64_t layer = d * (q + 2 * kv) + q * d + (gated_mlp ? 3 : 2) * d * ffn + 2 * norm_size;
  if (qkv_bias) layer += q + 2 * kv;
  if (attention_out_bias) layer += d;
  if (mlp_bias) layer += (gated_mlp ? 2 : 1) * ffn + d;
  const std::int64_t embedding = static_cast<std::int64_t>(vocab_size) * embedding_size;
  std::int64_t total = layers * layer + embedding * (tied_head ? 1 : 2);
  if (learned_positions) total += (static_cast<std::int64_t>(max_position) + 2) * d;
  if (embedding_size != hidden_size) total += 2 * d * embedding_size;
  if (final_norm) total += norm_size;
  return total;
}

Result<ModelConfig> ModelConfig::parse(std::string_view text, const std::string& name) {
  const auto object = parse_json_object(text, name);
  if (!object) return tl::unexpected(object.error());
  ConfigReader in(*object, name);
  ModelConfig config = read_config(in);
  if (in.failed()) return invalid(*in.error());
  return config;
}

Result<ModelConfig> ModelConfig::from_file(const std::filesystem::path& config_json) {
  const auto file = MappedFile::open(config_json);
  if (!file) return tl::unexpected(file.error());
  return parse(file->text(), config_json.string());
}

}  // namespace dejavu
