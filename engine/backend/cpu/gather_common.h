// Rows picked by id, for weights read only where a token needs them. Ids come in units: up to
// kUnitRows of them, in whole blocks of kSetWord ids, so that what adds up a block or a pair of
// inputs together finds all of it in one unit. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/project_common.h"
#include "engine/backend/cpu/rows_common.h"

namespace dejavu {
namespace {

constexpr int kUnitRows = 32;

struct UnitIds {
  std::int32_t ids[kUnitRows];
  int count = 0;

  // Takes the ids of a block (the bits of `word`, first id `first`) when they all fit.
  bool add(std::uint32_t word, std::int64_t first) {
    if (count + __builtin_popcount(word) > kUnitRows) return false;
    for (; word != 0; word &= word - 1) {
      ids[count++] = static_cast<std::int32_t>(first) + __builtin_ctz(word);
    }
    return true;
  }
};

// The end of the block that the unit's row `first` begins.
inline int end_of_block(const UnitIds& unit, int first) {
  int last = first + 1;
  while (last < unit.count && unit.ids[last] / kSetWord == unit.ids[first] / kSetWord) ++last;
  return last;
}

// The ids of a sorted list, unit by unit.
class UnitList {
 public:
  UnitList(const std::int32_t* begin, const std::int32_t* end) : at_(begin), end_(end) {}

  UnitIds next() {
    UnitIds unit;
    const std::int64_t left = end_ - at_;
    std::int64_t whole = 0;  // in whole blocks
    for (std::int64_t n = 0; n < left && n < kUnitRows; ++n) {
      unit.ids[n] = at_[n];
      if (n + 1 == left || at_[n + 1] / kSetWord != at_[n] / kSetWord) whole = n + 1;
    }
    unit.count = static_cast<int>(whole);
    at_ += whole;
    return unit;
  }

 private:
  const std::int32_t* at_;
  const std::int32_t* end_;
};

// Rows of one matrix, from one column on.
struct RowList {
  const char* rows[kUnitRows];
  int count = 0;

  RowList() = default;
  RowList(const ConstMatrix& w, const UnitIds& unit, std::int64_t column) : count(unit.count) {
    for (int i = 0; i < count; ++i) {
      rows[i] = static_cast<const char*>(at(w, unit.ids[i], column));
    }
  }
};

// The rows read next are fetched beside those being read, in address order: for each line of the
// latter as many lines as there are rows to come, so that all of them are on their way in time.
class ListAhead {
 public:
  ListAhead() = default;
  // `times`: how often lines of rows are read meanwhile, for each line of a row.
  ListAhead(const char* const* rows, int count, std::int64_t row_bytes, int times = 1)
      : rows_(rows), count_(count), lines_((count + times - 1) / times), row_bytes_(row_bytes) {}

  // When a line of each row is read.
  void fetch() {
    for (int i = 0; i < lines_ && row_ < count_; ++i) {
      _mm_prefetch(rows_[row_] + offset_, _MM_HINT_T1);
      offset_ += 64;
      if (offset_ < row_bytes_) continue;
      offset_ = 0;
      ++row_;
    }
  }

 private:
  const char* const* rows_ = nullptr;
  int count_ = 0;
  int lines_ = 0;
  std::int64_t row_bytes_ = 0;
  int row_ = 0;
  std::int64_t offset_ = 0;
};

// Sums of a unit's rows for every token: [tokens][kFinishRows].
struct UnitSums {
  const RowList* rows = nullptr;
  const RowList* next = nullptr;  // read after these; null: unknown
  float* sums = nullptr;
  bool cold = false;  // nothing was read before these

  // What is read after the rows before `last`, `most` rows of it.
  ListAhead ahead(int last, int most, std::int64_t row_bytes) const {
    if (last < rows->count) {
      return {rows->rows + last, static_cast<int>(smaller(most, rows->count - last)), row_bytes};
    }
    if (next == nullptr) return {};
    return {next->rows, static_cast<int>(smaller(most, next->count)), row_bytes};
  }
};

// What a unit's rows add to the partial of their range, for columns [begin, end).
template <class X>
struct UnitAdd {
  const ProjectJob* job = nullptr;
  const UnitIds* unit = nullptr;
  const X* x = nullptr;           // [tokens][kUnitRows]
  const RowList* next = nullptr;  // read after these; null: unknown
  float* partial = nullptr;       // [tokens][partial_stride]
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool cold = false;  // nothing was read before these

  // While the unit's blocks are read.
  ListAhead ahead() const {
    if (next == nullptr) return {};
    int blocks = 0;
    for (int first = 0; first < unit->count; first = end_of_block(*unit, first)) ++blocks;
    return {next->rows, next->count, (end - begin) * element_bytes(job->w.dtype), blocks};
  }
};

inline bool is_nonzero(float x) { return x != 0; }
inline bool is_nonzero(std::uint16_t x) { return (x & 0x7fffU) != 0; }

// Drops the rows whose inputs are zero for every token.
template <class X>
void drop_zero_rows(std::int64_t tokens, UnitIds& unit, X* x) {
  bool live[kUnitRows] = {};
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (int i = 0; i < unit.count; ++i) live[i] |= is_nonzero(x[t * kUnitRows + i]);
  }
  int kept = 0;
  for (int i = 0; i < unit.count; ++i) {  // without branches that nobody could predict
    unit.ids[kept] = unit.ids[i];
    for (std::int64_t t = 0; t < tokens; ++t) x[t * kUnitRows + kept] = x[t * kUnitRows + i];
    kept += live[i] ? 1 : 0;
  }
  unit.count = kept;
}

inline void zero_partial(const ProjectJob& job, float* partial, std::int64_t begin,
                         std::int64_t end) {
  const std::int64_t bytes = (round_up(end - begin, kColumnPanel)) * 4;
  for (std::int64_t t = 0; t < job.x.rows; ++t) {
    __builtin_memset(partial + t * job.partial_stride + begin, 0, static_cast<std::size_t>(bytes));
  }
}

}  // namespace
}  // namespace dejavu
