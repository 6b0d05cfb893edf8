// Non-owning row-major matrix views. A row is `cols` contiguous elements; rows are `stride`
// elements apart. A null `data` means "absent" where an op's contract allows it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/dtype.h"

namespace dejavu {

struct ConstMatrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  const void* row(std::int64_t r) const {
    return static_cast<const std::byte*>(data) +
           static_cast<std::size_t>(r * stride) * dtype_size(dtype);
  }
};

struct Matrix {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  void* row(std::int64_t r) const {
    return static_cast<std::byte*>(data) + static_cast<std::size_t>(r * stride) * dtype_size(dtype);
  }
  operator ConstMatrix() const {
    return {data, dtype, rows, cols, stride};
  }  // NOLINT(*-explicit-*)
};

}  // namespace dejavu
