#include "engine/model/random_source.h"

#include <cmath>

#include "engine/core/dtype.h"

namespace dejavu {
namespace {

// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t key_of(std::uint64_t seed, const std::string& name) {
  std::uint64_t key = mix(seed + 0x9e3779b97f4a7c15ULL);
  for (const char c : name) key = mix(key ^ static_cast<unsigned char>(c));
  return key;
}

// value = centre + width * uniform(-1, 1). Norm weights lie around 1; a matrix keeps the variance
// of its input, so that activations stay finite through any number of layers.
struct Distribution {
  float centre = 0;
  float width = 0;
};
Distribution distribution_of(const TensorSpec& spec) {
  if (spec.shape.size() == 1)
    return spec.name.ends_with("bias") ? Distribution{0, 0.02F} : Distribution{1, 0.1F};
  return {0, std::sqrt(3.0F / static_cast<float>(spec.cols()))};
}

template <class Store>
void fill(const TensorSpec& spec, const TensorSlice& slice, std::uint64_t key, Store store) {
  const Distribution from = distribution_of(spec);
  const std::int64_t row_step = slice.transposed ? 1 : spec.cols();
  const std::int64_t col_step = slice.transposed ? spec.cols() : 1;
  for (std::int64_t r = 0; r < slice.out.rows; ++r) {
    auto index = static_cast<std::uint64_t>((slice.begin + r) * row_step);
    for (std::int64_t c = 0; c < slice.out.cols;
         ++c, index += static_cast<std::uint64_t>(col_step)) {
      const auto bits = static_cast<std::int32_t>(mix(key + index * 0x9e3779b97f4a7c15ULL) >> 32);
      store(slice.out.row(r), c, from.centre + from.width * (static_cast<float>(bits) * 0x1p-31F));
    }
  }
}

}  // namespace

Result<std::size_t> RandomSource::check(const TensorSpec& spec) const {
  return static_cast<std::size_t>(spec.rows() * spec.cols());
}

void RandomSource::read(const TensorSpec& spec, const TensorSlice& slice) const {
  const std::uint64_t key = key_of(seed_, spec.name);
  switch (slice.out.dtype) {
    case DType::kF32:
      return fill(spec, slice, key, [](void* row, std::int64_t c, float value) {
        static_cast<float*>(row)[c] = value;
      });
    case DType::kF16:
      return fill(spec, slice, key, [](void* row, std::int64_t c, float value) {
        static_cast<std::uint16_t*>(row)[c] = float_to_f16(value);
      });
    case DType::kBF16:
      return fill(spec, slice, key, [](void* row, std::int64_t c, float value) {
        static_cast<std::uint16_t*>(row)[c] = float_to_bf16(value);
      });
  }
}

}  // namespace dejavu
