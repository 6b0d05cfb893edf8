// The order in which picked rows are read, in pieces of a few lines, so that each line can be
// fetched a fixed number of bytes before it is used: hardware loses the stream at every picked row.
// Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/gather_common.h"

namespace dejavu {
namespace {

constexpr std::int64_t kPieceBytes = 256;
constexpr int kPiecesAhead = 24;
constexpr auto kPieceHint = _MM_HINT_T1;

class Pieces {
 public:
  explicit Pieces(std::int64_t row_bytes) : row_bytes_(row_bytes) {}

  // Groups are read one after the other, a group's rows in turns, piece by piece.
  void add_group(const char* const* rows, int count) { groups_[added_++] = {rows, count}; }
  // Each row a group of its own.
  void add_rows(const RowList& list, int most) {
    for (int i = 0; i < list.count && i < most; ++i) add_group(list.rows + i, 1);
  }
  // The rows of each block together.
  void add_blocks(const RowList& list, const UnitIds& unit) {
    for (int first = 0; first < unit.count;) {
      const int last = end_of_block(unit, first);
      add_group(list.rows + first, last - first);
      first = last;
    }
  }
  const char* next() {
    if (group_ == added_) return last_;
    const Group& group = groups_[group_];
    last_ = group.rows[row_] + offset_;
    if (++row_ == group.count) {
      row_ = 0;
      offset_ += kPieceBytes;
      if (offset_ >= row_bytes_) {
        offset_ = 0;
        ++group_;
      }
    }
    return last_;
  }

  // The first pieces, which are fetched already unless nothing was read before them.
  void start(bool fetch) {
    for (int i = 0; i < kPiecesAhead; ++i) {
      const char* piece = next();
      for (int line = 0; fetch && line < kPieceBytes; line += 64) {
        _mm_prefetch(piece + line, kPieceHint);
      }
    }
  }

 private:
  struct Group {
    const char* const* rows;
    int count;
  };
  std::int64_t row_bytes_;
  Group groups_[2 * kUnitRows];
  int added_ = 0;
  int group_ = 0;
  int row_ = 0;
  std::int64_t offset_ = 0;
  const char* last_ = nullptr;
};

}  // namespace
}  // namespace dejavu
