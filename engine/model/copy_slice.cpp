#include "engine/model/copy_slice.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace dejavu {
namespace {

// How an element is stored, and its value.
struct F32 {
  using Stored = float;
  static float value(Stored s) { return s; }
  static Stored stored(float v) { return v; }
};
struct F16 {
  using Stored = std::uint16_t;
  static float value(Stored s) { return f16_to_float(s); }
  static Stored stored(float v) { return float_to_f16(v); }
};
struct BF16 {
  using Stored = std::uint16_t;
  static float value(Stored s) { return bf16_to_float(s); }
  static Stored stored(float v) { return float_to_bf16(v); }
};

template <class From, class To>
struct Copy {
  // memcpy: a safetensors file may put tensors at odd addresses.
  static void element(const std::byte* from, std::byte* to) {
    typename From::Stored in{};
    std::memcpy(&in, from, sizeof in);
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to, &in, sizeof in);
    } else {
      const auto out = To::stored(From::value(in));
      std::memcpy(to, &out, sizeof out);
    }
  }

  static constexpr std::int64_t kIn = sizeof(typename From::Stored);
  static constexpr std::int64_t kOut = sizeof(typename To::Stored);

  static void rows(const ConstMatrix& from, const TensorSlice& slice) {
    for (std::int64_t r = 0; r < slice.out.rows; ++r) {
      const auto* in =
          static_cast<const std::byte*>(from.data) + (slice.begin + r) * from.stride * kIn;
      auto* out = static_cast<std::byte*>(slice.out.row(r));
      for (std::int64_t c = 0; c < slice.out.cols; ++c) element(in + c * kIn, out + c * kOut);
    }
  }

  // In tiles that fit the first-level cache on both sides.
  static void columns(const ConstMatrix& from, const TensorSlice& slice) {
    constexpr std::int64_t kTile = 64;
    const Matrix& out = slice.out;
    for (std::int64_t c0 = 0; c0 < out.cols; c0 += kTile) {
      for (std::int64_t r0 = 0; r0 < out.rows; r0 += kTile) {
        const std::int64_t c1 = std::min(out.cols, c0 + kTile);
        const std::int64_t r1 = std::min(out.rows, r0 + kTile);
        for (std::int64_t r = r0; r < r1; ++r) {
          const auto* in =
              static_cast<const std::byte*>(from.data) + (c0 * from.stride + slice.begin + r) * kIn;
          auto* to = static_cast<std::byte*>(out.row(r)) + c0 * kOut;
          for (std::int64_t c = c0; c < c1; ++c, in += from.stride * kIn, to += kOut)
            element(in, to);
        }
      }
    }
  }
};

template <class From, class To>
void copy(const ConstMatrix& from, const TensorSlice& slice) {
  slice.transposed ? Copy<From, To>::columns(from, slice) : Copy<From, To>::rows(from, slice);
}

template <class From>
void copy_from(const ConstMatrix& from, const TensorSlice& slice) {
  switch (slice.out.dtype) {
    case DType::kF32:
      return copy<From, F32>(from, slice);
    case DType::kF16:
      return copy<From, F16>(from, slice);
    case DType::kBF16:
      return copy<From, BF16>(from, slice);
  }
}

}  // namespace

void copy_slice(const ConstMatrix& from, const TensorSlice& slice) {
  assert(slice.begin + slice.out.rows <= (slice.transposed ? from.cols : from.rows));
  assert(slice.out.cols == (slice.transposed ? from.rows : from.cols));
  switch (from.dtype) {
    case DType::kF32:
      return copy_from<F32>(from, slice);
    case DType::kF16:
      return copy_from<F16>(from, slice);
    case DType::kBF16:
      return copy_from<BF16>(from, slice);
  }
}

}  // namespace dejavu
