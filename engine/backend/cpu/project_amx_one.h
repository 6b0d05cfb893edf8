// y = x W for one token and rows of a page at most without gaps, with AmxProject's bits: row after
// row, from one range of inputs or from two at once (see one_stream.h). Even and odd inputs and
// columns have their own sums, so that a line's sums are lines too and lie, modulo a page, behind
// what is read. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/one_stream.h"
#include "engine/backend/cpu/project_amx.h"

namespace dejavu {
namespace {

struct AmxProjectOne {
  using S = Avx512;
  static constexpr std::int64_t kPageColumns = 2048;

  static bool fits(const ProjectJob& job) {
    return job.x.rows == 1 && gapless(job.w) && job.w.cols <= kPageColumns && job.w.cols % 32 == 0;
  }

  // Of the even inputs or the odd ones.
  struct LineSums {
    alignas(4096) float even[kPageColumns / 2];
    alignas(4096) float odd[kPageColumns / 2];

    void clear(std::int64_t columns) {
      for (std::int64_t i = 0; i < columns / 2; i += S::kWidth) {
        S::store(even + i, S::zero());
        S::store(odd + i, S::zero());
      }
    }
  };

  // One input and its row.
  struct Line {
    const std::uint16_t* row;
    __m512 x;

    Line(const ProjectJob& job, std::int64_t n)
        : row(static_cast<const std::uint16_t*>(at(job.w, n, 0))) {
      const std::uint32_t bits = std::uint32_t{*packed_x<AmxProject>(job, 0, n)} << 16;
      x = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(bits)));
    }
    void add(std::int64_t column, LineSums& sums) const {
      const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
      prefetch_line(row + column);
      const __m512i w = _mm512_loadu_si512(row + column);
      float* even = sums.even + column / 2;
      float* odd = sums.odd + column / 2;
      S::store(even, S::fma(_mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), x, S::load(even)));
      S::store(odd, S::fma(_mm512_castsi512_ps(_mm512_and_si512(w, upper)), x, S::load(odd)));
    }
  };

  struct Part {
    RangePlace range;
    LineSums sums[2];  // of even inputs, of odd ones
  };

  // Input n of each part, a few lines of it at a time.
  template <int N>
  static void add_input(const ProjectJob& job, Part (&parts)[2], std::int64_t n) {
    constexpr std::int64_t kColumns = 4 * 32;
    const auto line = [&](int i) { return Line(job, parts[i].range.first + n); };
    const Line lines[2] = {line(0), line(N - 1)};
    for (std::int64_t column = 0; column < job.w.cols; column += kColumns) {
      const std::int64_t end = smaller(job.w.cols, column + kColumns);
#pragma GCC unroll 2
      for (int i = 0; i < N; ++i) {
        for (std::int64_t c = column; c < end; c += 32) lines[i].add(c, parts[i].sums[n % 2]);
      }
    }
  }

  static void fold(const Part& part, std::int64_t columns, bool first) {
    for (std::int64_t column = 0; column < columns; column += 32) {
      const std::int64_t i = column / 2;
      const __m512 even = S::add(S::load(part.sums[0].even + i), S::load(part.sums[1].even + i));
      const __m512 odd = S::add(S::load(part.sums[0].odd + i), S::load(part.sums[1].odd + i));
      AmxProject::add_columns(even, odd, first, part.range.partial + column);
    }
  }

  // `second` is not longer than `first`; null: one range.
  static void run(const ProjectJob& job, const RangePlace& first, const RangePlace* second) {
    const FlushDenormals flush;
    Part parts[2];
    parts[0].range = first;
    if (second != nullptr) parts[1].range = *second;
    const std::int64_t inputs = first.last - first.first;
    const std::int64_t others = parts[1].range.last - parts[1].range.first;
    for (std::int64_t block = 0; block < inputs; block += kTileInputs) {
      for (Part& part : parts) {
        for (LineSums& sums : part.sums) sums.clear(job.w.cols);
      }
      for (std::int64_t n = block; n < smaller(inputs, block + kTileInputs); ++n) {
        if (n < others) {
          add_input<2>(job, parts, n);
        } else {
          add_input<1>(job, parts, n);
        }
      }
      fold(parts[0], job.w.cols, block == 0);
      if (block < others) fold(parts[1], job.w.cols, block == 0);
    }
  }
};

}  // namespace
}  // namespace dejavu
