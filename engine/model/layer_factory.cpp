#include "engine/model/layer_factory.h"

#include "engine/model/dense_attention.h"
#include "engine/model/dense_mlp.h"

namespace dejavu {

Result<std::unique_ptr<Attention>> DenseLayerFactory::attention(const LayerContext& context) const {
  return std::make_unique<DenseAttention>(context);
}

Result<std::unique_ptr<Mlp>> DenseLayerFactory::mlp(const LayerContext& context) const {
  return std::make_unique<DenseMlp>(context);
}

}  // namespace dejavu
