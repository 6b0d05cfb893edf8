// What the kernels of every instruction set share. Internal linkage: see kernels.h.
#pragma once

#include <immintrin.h>

#include "engine/backend/cpu/kernels.h"

namespace dejavu {
namespace {

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
constexpr std::int64_t larger(std::int64_t a, std::int64_t b) { return a > b ? a : b; }
constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

inline std::int64_t element_bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// Element (r, c) of a matrix.
inline const void* at(const ConstMatrix& m, std::int64_t r, std::int64_t c) {
  return static_cast<const char*>(m.data) + (r * m.stride + c) * element_bytes(m.dtype);
}
inline void* at(const Matrix& m, std::int64_t r, std::int64_t c) {
  return static_cast<char*>(m.data) + (r * m.stride + c) * element_bytes(m.dtype);
}

// The first n lanes, of any dtype.
template <class S>
typename S::V load_any(DType dtype, const void* from, int n) {
  if (dtype == DType::kF32) return S::template load_as<DType::kF32>(from, n);
  if (dtype == DType::kF16) return S::template load_as<DType::kF16>(from, n);
  return S::template load_as<DType::kBF16>(from, n);
}
template <class S>
void store_any(DType dtype, void* to, typename S::V v, int n) {
  if (dtype == DType::kF32) return S::template store_as<DType::kF32>(to, v, n);
  if (dtype == DType::kF16) return S::template store_as<DType::kF16>(to, v, n);
  return S::template store_as<DType::kBF16>(to, v, n);
}

// visit(index of the first lane, lanes) over [0, n).
template <class S, class Visit>
void for_vectors(std::int64_t n, const Visit& visit) {
  for (std::int64_t i = 0; i < n; i += S::kWidth) {
    visit(i, static_cast<int>(smaller(S::kWidth, n - i)));
  }
}

// Packed rows are padded with zeros to whole 32-element steps, and by a cache line so that equal
// columns of neighbouring rows do not fall into one set of the cache.
template <class Element>
std::int64_t packed_stride(std::int64_t in) {
  return round_up(in, 32) + 64 / static_cast<std::int64_t>(sizeof(Element));
}

// Copies one row of x, converted to `To`, and zeroes its padding.
template <class S, DType To, class Element>
void pack_row(const ConstMatrix& x, std::int64_t row, Element* to) {
  for_vectors<S>(x.cols, [&](std::int64_t i, int n) {
    S::template store_as<To>(to + i, load_any<S>(x.dtype, at(x, row, i), n));
  });
  for (std::int64_t i = round_up(x.cols, S::kWidth); i < packed_stride<Element>(x.cols);
       i += S::kWidth) {
    S::template store_as<To>(to + i, S::zero());
  }
}

// How the next rows are fetched ahead of their use, measured with two workers reading 16 rows at a
// time: whole rows in address order, a block of rows ahead, 18 to 28 GB/s; nothing 30; the heads of
// the next rows 31; all rows 256 bytes ahead of where they are read, 32.

// All of `Rows` rows `Distance` bytes ahead of where they are read, and at their end the next
// `Rows` rows.
template <int Rows, std::int64_t Distance = 256>
class RowsAhead {
 public:
  // Rows from `first` on, columns [begin, end).
  RowsAhead(const ConstMatrix& w, std::int64_t first, std::int64_t begin, std::int64_t end)
      : rows_(static_cast<const char*>(at(w, first, begin))),
        stride_(w.stride * element_bytes(w.dtype)),
        row_bytes_((end - begin) * element_bytes(w.dtype)) {}

  // When the line at byte `offset` of each row is read.
  void fetch(std::int64_t offset) const {
    const std::int64_t there = offset + Distance;
    const char* line =
        there < row_bytes_ ? rows_ + there : rows_ + Rows * stride_ + (there - row_bytes_);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) _mm_prefetch(line + r * stride_, _MM_HINT_T1);
  }

 private:
  const char* rows_;
  std::int64_t stride_;
  std::int64_t row_bytes_;
};

// What is fetched of a row before the hardware notices that it is being read.
constexpr std::int64_t kHeadBytes = 256;

// The heads of the rows read next, or those rows whole, line by line.
class Prefetcher {
 public:
  // Rows [first, first + count) of w and columns [begin, end).
  struct Rows {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  enum class Fetch : std::uint8_t { kHeads, kWhole };

  Prefetcher(const ConstMatrix& w, const Rows& rows, Fetch fetch = Fetch::kHeads) {
    const std::int64_t size = element_bytes(w.dtype);
    left_ = w.data == nullptr ? 0 : larger(0, smaller(rows.count, w.rows - rows.first));
    if (left_ == 0) return;
    row_ = static_cast<const char*>(at(w, rows.first, rows.begin));
    stride_ = w.stride * size;
    row_bytes_ = (rows.end - rows.begin) * size;
    if (fetch == Fetch::kHeads) row_bytes_ = smaller(row_bytes_, kHeadBytes);
  }

  void lines(int count) {
    for (int i = 0; i < count && left_ > 0; ++i) {
      _mm_prefetch(row_ + at_, _MM_HINT_T1);
      at_ += 64;
      if (at_ >= row_bytes_) {
        at_ = 0;
        row_ += stride_;
        --left_;
      }
    }
  }

 private:
  const char* row_ = nullptr;
  std::int64_t stride_ = 0;
  std::int64_t row_bytes_ = 0;
  std::int64_t left_ = 0;
  std::int64_t at_ = 0;
};

}  // namespace
}  // namespace dejavu
