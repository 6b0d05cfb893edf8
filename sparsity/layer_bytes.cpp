#include "sparsity/layer_bytes.h"

namespace dejavu {
namespace {

constexpr double kElementBytes = 2;

}  // namespace

LayerBytes::LayerBytes(const ModelConfig& config) {
  const double d = config.hidden_size;
  const double q = static_cast<double>(config.heads) * config.head_dim;
  const double kv = static_cast<double>(config.kv_heads) * config.head_dim;
  const double matrix = kElementBytes * d * config.ffn_size;
  skippable_attention = kElementBytes * 2 * q * d;
  attention = skippable_attention + kElementBytes * 2 * kv * d;
  skippable_mlp = matrix * (config.gated_mlp ? 2 : 1);
  mlp = skippable_mlp + matrix;
}

double vocabulary_bytes(const ModelConfig& config) {
  return kElementBytes * config.vocab_size * config.embedding_size;
}

double weight_bytes(const ModelConfig& config) {
  const LayerBytes layer(config);
  return vocabulary_bytes(config) + config.layers * (layer.attention + layer.mlp);
}

double weight_share(const ModelConfig& config, SparsityMode mode, const TokenDensity& density) {
  const LayerBytes layer(config);
  // Under lookahead, what is not in the set is not read at all.
  const double mlp = mode == SparsityMode::kLookahead ? layer.mlp : layer.skippable_mlp;
  const double spared = (1 - static_cast<double>(density.mlp)) * mlp +
                        (1 - static_cast<double>(density.heads)) * layer.skippable_attention;
  return 1 - config.layers * spared / weight_bytes(config);
}

}  // namespace dejavu
