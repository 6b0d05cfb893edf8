// Random operands for op tests, on the host and on a backend: odd strides, misaligned starts and
// poisoned padding included.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

// Bytes no op may read: NaN in every dtype.
inline constexpr unsigned char kPoison = 0xff;

struct Layout {
  std::int64_t pad = 0;     // elements between the end of a row and the start of the next
  std::int64_t offset = 0;  // elements before the first row
};

// A matrix in host memory (where the reference reads it) and its copy on a backend.
class Operand {
 public:
  struct Shape {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    DType dtype = DType::kF32;
    Layout layout = {};
  };

  // Every byte poisoned.
  Operand(Backend& backend, const Shape& shape)
      : backend_(&backend), shape_(shape), stride_(shape.cols + shape.layout.pad) {
    const std::int64_t elements = shape.layout.offset + shape.rows * stride_;
    host_.assign(static_cast<std::size_t>(elements) * dtype_size(shape.dtype) + 64, kPoison);
    device_ = std::move(backend.allocate(host_.size()).value());
    upload();
  }

  // Normal values of standard deviation `scale`; a share `zeros` of them exactly zero.
  Operand& randomize(std::mt19937& random, float scale = 1.0F, double zeros = 0) {
    std::normal_distribution<float> normal(0.0F, scale);
    std::bernoulli_distribution zero(zeros);
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < shape_.cols; ++c) {
        const float value = zero(random) ? 0.0F : normal(random);
        store_element(host().row(r), shape_.dtype, static_cast<std::size_t>(c), value);
      }
    }
    upload();
    return *this;
  }

  void poison() {
    std::fill(host_.begin(), host_.end(), kPoison);
    upload();
  }
  void upload() { backend_->upload(device_.data(), host_.data(), host_.size(), StreamId::kMain); }
  void download() {
    backend_->download(host_.data(), device_.data(), host_.size(), StreamId::kMain);
    (void)backend_->synchronize(StreamId::kMain);
  }

  Matrix host() { return view(host_.data()); }
  Matrix device() { return view(device_.data()); }
  const float* host_floats() { return static_cast<const float*>(host().data); }
  const float* device_floats() { return static_cast<const float*>(device().data); }
  float at(std::int64_t row, std::int64_t col) {
    return load_element(host().row(row), shape_.dtype, static_cast<std::size_t>(col));
  }
  // Row `row` as stored, for comparisons to the bit.
  std::vector<unsigned char> row_bytes(std::int64_t row) {
    const auto* begin = static_cast<const unsigned char*>(host().row(row));
    return {begin, begin + static_cast<std::size_t>(shape_.cols) * dtype_size(shape_.dtype)};
  }
  // True when nothing outside the rows was written.
  bool padding_intact() {
    std::vector<unsigned char> copy = host_;
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      const auto* row = static_cast<const unsigned char*>(host().row(r));
      std::memset(copy.data() + (row - host_.data()), kPoison,
                  static_cast<std::size_t>(shape_.cols) * dtype_size(shape_.dtype));
    }
    for (const unsigned char byte : copy) {
      if (byte != kPoison) return false;
    }
    return true;
  }

 private:
  Matrix view(void* data) const {
    auto* start = static_cast<std::byte*>(data) +
                  static_cast<std::size_t>(shape_.layout.offset) * dtype_size(shape_.dtype);
    return {start, shape_.dtype, shape_.rows, shape_.cols, stride_};
  }

  Backend* backend_;
  Shape shape_;
  std::int64_t stride_;
  std::vector<unsigned char> host_;
  Buffer device_;
};

// An int32 array on the host and on a backend.
class Indices {
 public:
  Indices(Backend& backend, std::vector<std::int32_t> values) : values_(std::move(values)) {
    const std::size_t bytes = values_.size() * sizeof(std::int32_t);
    device_ = std::move(backend.allocate(bytes).value());
    backend.upload(device_.data(), values_.data(), bytes, StreamId::kMain);
  }
  const std::int32_t* host() const { return values_.data(); }
  const std::int32_t* device() const { return device_.as<std::int32_t>(); }

 private:
  std::vector<std::int32_t> values_;
  Buffer device_;
};

// max |a - b| / max |b| over a matrix; infinite when a value is not finite.
inline double relative_error(Operand& actual, const std::vector<double>& expected) {
  const Matrix m = actual.host();
  double worst = 0;
  double largest = 1e-30;
  for (std::int64_t r = 0; r < m.rows; ++r) {
    for (std::int64_t c = 0; c < m.cols; ++c) {
      const double want = expected[static_cast<std::size_t>(r * m.cols + c)];
      const double difference = std::abs(actual.at(r, c) - want);
      if (!std::isfinite(difference)) return HUGE_VAL;
      worst = std::max(worst, difference);
      largest = std::max(largest, std::abs(want));
    }
  }
  return worst / largest;
}

// Rounding of one value to `dtype`, plus what float accumulation adds.
inline double tolerance(DType dtype) {
  return dtype == DType::kF32 ? 1e-5 : dtype == DType::kF16 ? 1e-3 : 6e-3;
}

}  // namespace dejavu
