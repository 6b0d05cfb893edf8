// How a sequence's generated tokens are computed (design, section 5), chosen for each request.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace dejavu {

enum class SparsityMode : std::uint8_t {
  kDense,
  kExact,      // computed zeros are skipped: the dense bits
  kThreshold,  // small activations count as zeros
  kLookahead,  // predictors choose neurons and heads before they are needed
};

// As options, requests and artifacts write it.
constexpr std::string_view sparsity_mode_name(SparsityMode mode) {
  switch (mode) {
    case SparsityMode::kExact:
      return "exact";
    case SparsityMode::kThreshold:
      return "threshold";
    case SparsityMode::kLookahead:
      return "lookahead";
    case SparsityMode::kDense:
      break;
  }
  return "dense";
}

struct SparsityChoice {
  SparsityMode mode = SparsityMode::kDense;
  int level = -1;         // index into the artifact's levels; -1 where the mode has none
  bool detailed = false;  // each token's density comes with its TokenDetail

  // Approximate tokens are never published to the prefix index.
  bool approximate() const {
    return mode == SparsityMode::kThreshold || mode == SparsityMode::kLookahead;
  }
};

// What the audit found when it computed one block of a token's pass again, dense.
struct TokenAudit {
  int layer = 0;
  bool heads = false;  // the attention block, otherwise the MLP
  float recall = 1;    // of the units that the token needs
  float error = 0;     // |served - dense| / |dense| of the block's output
};

// One token's computation, layer by layer.
struct TokenDetail {
  std::vector<float> mlp;    // density, a layer each
  std::vector<float> heads;  // likewise
  float weight_share = 1;  // of the model's weights: what these sets take (sparsity/layer_bytes.h)
  std::optional<TokenAudit> audit;
};

// The share of the model that one token's computation used, means over all layers.
struct TokenDensity {
  float mlp = 1;    // neurons in the set (kExact, kThreshold: not zero after the activation)
  float heads = 1;  // KV groups in the set
  std::shared_ptr<const TokenDetail> detail = nullptr;  // asked for, and not a dense token
};

}  // namespace dejavu
