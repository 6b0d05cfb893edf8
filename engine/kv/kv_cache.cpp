#include "engine/kv/kv_cache.h"

namespace dejavu {

Result<KvCache> KvCache::create(Backend& backend, const KvCacheShape& shape, int pages) {
  KvCache cache;
  cache.shape_ = shape;
  cache.pages_ = pages;
  const std::size_t layer_bytes = shape.page_bytes() / 2 / static_cast<std::size_t>(shape.layers) *
                                  static_cast<std::size_t>(pages);
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (auto* side : {&cache.k_, &cache.v_}) {
      auto buffer = backend.allocate(layer_bytes);
      if (!buffer) return tl::unexpected(buffer.error());
      side->push_back(std::move(*buffer));
    }
  }
  return cache;
}

KvView KvCache::layer(int index) const {
  const auto i = static_cast<std::size_t>(index);
  return {k_[i].data(), v_[i].data(), shape_.dtype, pages_, shape_.kv_heads, shape_.head_dim};
}

}  // namespace dejavu
