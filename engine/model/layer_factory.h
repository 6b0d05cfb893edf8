// Makes the implementations behind the seams, so that sparsity/ can supply its own without this
// room knowing it.
#pragma once

#include <memory>

#include "engine/model/attention.h"
#include "engine/model/mlp.h"
#include "engine/model/weights.h"
#include "engine/model/workspace.h"

namespace dejavu {

// RoPE tables in backend memory, [max_model_len][head_dim / 2]; null: no rotation.
struct RopeView {
  const float* cos = nullptr;
  const float* sin = nullptr;
};

// What a layer's implementation may use; everything outlives it.
struct LayerContext {
  int index = 0;
  const ModelConfig& config;
  const LayerWeights& weights;
  const Workspace& workspace;  // shared by all layers: contents last until the block's end
  RopeView rope;
  Backend& backend;
};

class LayerFactory {
 public:
  LayerFactory() = default;
  LayerFactory(const LayerFactory&) = delete;
  LayerFactory& operator=(const LayerFactory&) = delete;
  virtual ~LayerFactory() = default;

  virtual Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const = 0;
  virtual Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const = 0;
};

class DenseLayerFactory final : public LayerFactory {
 public:
  Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const override;
  Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const override;
};

}  // namespace dejavu
