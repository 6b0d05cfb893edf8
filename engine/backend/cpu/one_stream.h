// Reading weights in address order, one stream a worker. Measured alone, two workers on a Xeon 6,
// as shares of plain reading: tiles 0.98 and dot products 1.1 where 16 rows at a time reach 0.85.
// Two things decide: prefetches stand between the reads line by line (in groups they cost a fifth),
// and no store goes to the address, modulo a page, of a line that is read soon after. Rows with
// gaps between them (neuron records) are better read many at a time: the hardware fetches into the
// gaps. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/kernel_common.h"

namespace dejavu {
namespace {

constexpr std::int64_t kStreamAhead = 3072;  // bytes; 2048 and 4096 are slower

// Keeps the compiler from moving memory accesses.
inline void in_order() { __asm__ volatile("" ::: "memory"); }

inline void prefetch_line(const void* line) {
  in_order();
  _mm_prefetch(static_cast<const char*>(line) + kStreamAhead, _MM_HINT_T0);
  in_order();
}

// Rows without gaps between them.
inline bool gapless(const ConstMatrix& w) { return w.stride == w.cols; }

// Room for what is computed from a stretch of the stream, `Bytes` at most, where the stores do not
// hinder the reads that follow.
template <std::int64_t Bytes>
class StreamPage {
 public:
  void* beside(const void* stretch) {
    return room_ + (reinterpret_cast<std::uintptr_t>(stretch) & (kPage - 64));
  }

 private:
  static constexpr std::uintptr_t kPage = 4096;
  alignas(kPage) char room_[kPage + Bytes];
};

}  // namespace
}  // namespace dejavu
