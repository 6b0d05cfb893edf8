// KV storage of every layer, in pages of kKvPageTokens tokens. Which page belongs to whom is
// block_pool's business. Shapes: engine/backend/backend.h, KvView.
#pragma once

#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

struct KvCacheShape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  DType dtype = DType::kF32;

  std::size_t page_bytes() const {  // K and V, all layers
    return static_cast<std::size_t>(2) * static_cast<std::size_t>(layers) *
           static_cast<std::size_t>(kv_heads) * static_cast<std::size_t>(head_dim) * kKvPageTokens *
           dtype_size(dtype);
  }
};

class KvCache {
 public:
  static Result<KvCache> create(Backend& backend, const KvCacheShape& shape, int pages);

  KvView layer(int index) const;
  int pages() const { return pages_; }
  const KvCacheShape& shape() const { return shape_; }

 private:
  KvCacheShape shape_;
  int pages_ = 0;
  std::vector<Buffer> k_;  // one a layer
  std::vector<Buffer> v_;
};

}  // namespace dejavu
