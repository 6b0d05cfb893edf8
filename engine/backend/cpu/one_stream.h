// Reading weights in address order, for one token. Measured on a Xeon 6, two workers, as shares of
// reading one stream a worker without computing: from two places a worker, far apart and each in
// address order, 1.10 (without computing) and 1.0 (with tiles or multiply-adds); from one place
// 0.9; 16 neighbouring rows at a time 0.85; rows with gaps between them 0.7, since the hardware
// fetches into the gaps. Two more things decide: prefetches stand between the reads line by line
// (in groups they cost a fifth), and no store goes to the address, modulo a page, of a line that is
// read soon after. Internal linkage: see kernels.h.
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
