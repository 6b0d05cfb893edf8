#include "tests/support/tiny_model.h"

namespace dejavu {

ModelConfig tiny_opt() {
  ModelConfig config;
  config.architecture = "OPTForCausalLM";
  config.vocab_size = 97;
  config.hidden_size = config.embedding_size = 72;
  config.layers = 2;
  config.heads = config.kv_heads = 6;
  config.head_dim = 12;
  config.ffn_size = 150;
  config.max_position = 256;
  config.qkv_bias = config.attention_out_bias = config.mlp_bias = true;
  return config;
}

ModelConfig tiny_llama() {
  ModelConfig config;
  config.family = ModelFamily::kLlama;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = 101;
  config.hidden_size = config.embedding_size = 90;
  config.layers = 2;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 10;
  config.ffn_size = 131;
  config.max_position = 256;
  config.rope.original_max_position = 256;
  config.norm = NormKind::kRmsNorm;
  config.learned_positions = false;
  config.tied_head = false;
  config.gated_mlp = true;
  config.activation = Activation::kSilu;
  return config;
}

}  // namespace dejavu
