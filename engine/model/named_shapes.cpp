// Published shapes for benchmarks with random weights.
#include <string>

#include "engine/model/model_config.h"

namespace dejavu {
namespace {

struct OptShape {
  std::string_view name;
  int hidden, layers, heads, embedding;
};
constexpr OptShape kOpt[] = {
    {"opt-125m", 768, 12, 12, 768},     {"opt-350m", 1024, 24, 16, 512},
    {"opt-1.3b", 2048, 24, 32, 2048},   {"opt-2.7b", 2560, 32, 32, 2560},
    {"opt-6.7b", 4096, 32, 32, 4096},   {"opt-13b", 5120, 40, 40, 5120},
    {"opt-30b", 7168, 48, 56, 7168},    {"opt-66b", 9216, 64, 72, 9216},
    {"opt-175b", 12288, 96, 96, 12288},
};

struct LlamaShape {
  std::string_view name;
  int vocab, hidden, layers, heads, kv_heads, head_dim, ffn, max_position;
  float theta;
  bool tied, qkv_bias;
};
constexpr LlamaShape kLlama[] = {
    {"llama-2-7b", 32000, 4096, 32, 32, 32, 128, 11008, 4096, 1e4F, false, false},
    {"llama-2-13b", 32000, 5120, 40, 40, 40, 128, 13824, 4096, 1e4F, false, false},
    {"llama-2-70b", 32000, 8192, 80, 64, 8, 128, 28672, 4096, 1e4F, false, false},
    {"llama-3-8b", 128256, 4096, 32, 32, 8, 128, 14336, 8192, 5e5F, false, false},
    {"llama-3-70b", 128256, 8192, 80, 64, 8, 128, 28672, 8192, 5e5F, false, false},
    {"llama-3.2-1b", 128256, 2048, 16, 32, 8, 64, 8192, 8192, 5e5F, true, false},
    {"llama-3.2-3b", 128256, 3072, 28, 24, 8, 128, 8192, 8192, 5e5F, true, false},
    {"tinyllama-1.1b", 32000, 2048, 22, 32, 4, 64, 5632, 2048, 1e4F, false, false},
    {"smollm2-135m", 49152, 576, 30, 9, 3, 64, 1536, 8192, 1e5F, true, false},
    {"mistral-7b", 32768, 4096, 32, 32, 8, 128, 14336, 32768, 1e6F, false, false},
    {"qwen2-0.5b", 151936, 896, 24, 14, 2, 64, 4864, 32768, 1e6F, true, true},
    {"qwen2-1.5b", 151936, 1536, 28, 12, 2, 128, 8960, 32768, 1e6F, true, true},
    {"qwen2-7b", 152064, 3584, 28, 28, 4, 128, 18944, 32768, 1e6F, false, true},
};

ModelConfig opt_config(const OptShape& shape) {
  ModelConfig config;
  config.architecture = "OPTForCausalLM";
  config.vocab_size = 50272;
  config.hidden_size = shape.hidden;
  config.embedding_size = shape.embedding;
  config.layers = shape.layers;
  config.heads = config.kv_heads = shape.heads;
  config.head_dim = shape.hidden / shape.heads;
  config.ffn_size = 4 * shape.hidden;
  config.max_position = 2048;
  config.norm_before = config.final_norm = shape.embedding == shape.hidden;
  config.qkv_bias = config.attention_out_bias = config.mlp_bias = true;
  config.bos_token_id = 2;
  config.eos_token_ids = {2};
  return config;
}

ModelConfig llama_config(const LlamaShape& shape) {
  ModelConfig config;
  config.family = ModelFamily::kLlama;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = shape.vocab;
  config.hidden_size = config.embedding_size = shape.hidden;
  config.layers = shape.layers;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn_size = shape.ffn;
  config.max_position = config.rope.original_max_position = shape.max_position;
  config.rope.theta = shape.theta;
  config.norm = NormKind::kRmsNorm;
  config.learned_positions = false;
  config.qkv_bias = shape.qkv_bias;
  config.tied_head = shape.tied;
  config.gated_mlp = true;
  config.activation = Activation::kSilu;
  return config;
}

}  // namespace

Result<ModelConfig> ModelConfig::named_shape(std::string_view name) {
  std::string known;
  for (const OptShape& shape : kOpt) {
    if (shape.name == name) return opt_config(shape);
    known += std::string(shape.name) + ", ";
  }
  for (const LlamaShape& shape : kLlama) {
    if (shape.name == name) return llama_config(shape);
    known += std::string(shape.name) + ", ";
  }
  known.resize(known.size() - 2);
  return invalid("unknown shape '" + std::string(name) + "'; known: " + known, "shape");
}

}  // namespace dejavu
