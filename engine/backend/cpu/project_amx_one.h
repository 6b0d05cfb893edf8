// y = x W for one token and rows of a page at most without gaps, with AmxProject's bits: row after
// row, from one range of inputs or from two at once (see one_stream.h). Blocks of inputs that are
// all zero, such as those of a head that is out, are not read. Even and odd inputs and columns have
// their own sums, so that a line's sums are lines too and lie, modulo a page, behind what is read.
// Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/one_stream.h"
#include "engine/backend/cpu/project_amx.h"

namespace dejavu {
namespace {

struct AmxProjectOne {
  using S = Avx512;
  static constexpr std::int64_t kPageColumns = 2048;

  // `skip`: rows of zeros are to be left out, which this does well when they come in whole blocks.
  static bool fits(const ProjectJob& job, bool skip) {
    const bool shape =
        job.x.rows == 1 && gapless(job.w) && job.w.cols <= kPageColumns && job.w.cols % 32 == 0;
    return shape && (!skip || in_blocks(job));
  }

  static std::uint32_t live_inputs(const ProjectJob& job, std::int64_t block) {
    return nonzero_bf16(packed_x<AmxProject>(job, 0, block));
  }
  static bool in_blocks(const ProjectJob& job) {
    std::int64_t inputs = 0;
    std::int64_t live = 0;
    for (std::int64_t n = 0; n < job.x.cols; n += kTileInputs) {
      const std::uint32_t bits = live_inputs(job, n);
      live += __builtin_popcount(bits);
      inputs += bits == 0 ? 0 : kTileInputs;
    }
    return 4 * live >= 3 * inputs;
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

  // A range, block by block.
  struct Part {
    RangePlace range;
    std::int64_t block = 0;   // its first input
    std::int64_t inputs = 0;  // of the block; 0: there is none left
    bool first = true;        // block that is read
    LineSums sums[2];         // of even inputs, of odd ones

    void start(const ProjectJob& job, const RangePlace& place) {
      range = place;
      find(job, range.first);
    }
    void next(const ProjectJob& job) {
      fold(job.w.cols);
      first = false;
      find(job, block + kTileInputs);
    }
    // Goes to the first block from `from` on that is not all zeros.
    void find(const ProjectJob& job, std::int64_t from) {
      block = from;
      while (block < range.last && live_inputs(job, block) == 0) block += kTileInputs;
      inputs = larger(0, smaller(kTileInputs, range.last - block));
      if (inputs == 0) return;
      for (LineSums& some : sums) some.clear(job.w.cols);
    }
    void fold(std::int64_t columns) const {
      for (std::int64_t column = 0; column < columns; column += 32) {
        const std::int64_t i = column / 2;
        const __m512 even = S::add(S::load(sums[0].even + i), S::load(sums[1].even + i));
        const __m512 odd = S::add(S::load(sums[0].odd + i), S::load(sums[1].odd + i));
        AmxProject::add_columns(even, odd, first, range.partial + column);
      }
    }
  };

  // Input n of the blocks of one part or of two, a few lines at a time.
  template <int N>
  static void add_input(const ProjectJob& job, Part* const (&parts)[N], std::int64_t n) {
    constexpr std::int64_t kColumns = 4 * 32;
    const auto line = [&](int i) { return Line(job, parts[i]->block + n); };
    const Line lines[2] = {line(0), line(N - 1)};
    for (std::int64_t column = 0; column < job.w.cols; column += kColumns) {
      const std::int64_t end = smaller(job.w.cols, column + kColumns);
#pragma GCC unroll 2
      for (int i = 0; i < N; ++i) {
        for (std::int64_t c = column; c < end; c += 32) lines[i].add(c, parts[i]->sums[n % 2]);
      }
    }
  }

  // `second`: null for one range.
  static void run(const ProjectJob& job, const RangePlace& first, const RangePlace* second) {
    const FlushDenormals flush;
    Part a;
    Part b;
    a.start(job, first);
    if (second != nullptr) b.start(job, *second);
    while (a.inputs > 0 || b.inputs > 0) {
      for (std::int64_t n = 0; n < larger(a.inputs, b.inputs); ++n) {
        if (n < a.inputs && n < b.inputs) {
          add_input<2>(job, {&a, &b}, n);
        } else {
          add_input<1>(job, {n < a.inputs ? &a : &b}, n);
        }
      }
      for (Part* part : {&a, &b}) {
        if (part->inputs > 0) part->next(job);
      }
    }
    for (const Part* part : {&a, &b}) {
      if (part->first && part->range.partial != nullptr) zero_partial(job, part->range);
    }
  }

  static void zero_partial(const ProjectJob& job, const RangePlace& place) {
    for (std::int64_t column = 0; column < job.w.cols; column += S::kWidth) {
      S::store(place.partial + column, S::zero());
    }
  }
};

}  // namespace
}  // namespace dejavu
