// A ring in shared memory through which one warp streams scattered rows to the other warps of its
// block: it runs ahead as far as there is room, so that the loads in flight do not depend on what
// the others are at. On Hopper a row is one bulk copy, which takes no registers and no threads;
// before Hopper the warp copies sixteen bytes a lane.
#pragma once

#include <cstdint>
#include <nv/target>

#include "engine/backend/cuda/async_copy.cuh"

namespace dejavu::cuda {

__device__ inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// A barrier in shared memory completes a phase when `count` have arrived, and begins the next.
// Phases are told apart by their parity: 0, 1, 0, ...
using Barrier = std::uint64_t;
__device__ inline void init_barrier(Barrier* barrier, unsigned count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
               : "memory");
}
__device__ inline void arrive(Barrier* barrier) {
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared.b64 state, [%0];\n}" ::"r"(
                   shared_address(barrier))
               : "memory");
}
__device__ inline bool has_completed(Barrier* barrier, unsigned parity) {
  unsigned done = 0;
  NV_IF_ELSE_TARGET(
      NV_PROVIDES_SM_90,
      (asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n"
                    "selp.u32 %0, 1, 0, p;\n}"
                    : "=r"(done)
                    : "r"(shared_address(barrier)), "r"(parity)
                    : "memory");),
      (asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n"
                    "selp.u32 %0, 1, 0, p;\n}"
                    : "=r"(done)
                    : "r"(shared_address(barrier)), "r"(parity)
                    : "memory");))
  return done != 0;
}
__device__ inline void await_phase(Barrier* barrier, unsigned parity) {
  while (!has_completed(barrier, parity)) {
  }
}

// kRows rows a stage, kPitch bytes apart.
template <int kRowsOfStage, int kBytesApart>
struct RowRing {
  static constexpr int kRows = kRowsOfStage;
  static constexpr int kPitch = kBytesApart;
  static constexpr int kStageBytes = kRows * kPitch;
  static constexpr int kMostStages = 16;
  using Barriers = Barrier[2][kMostStages];

  char* data;
  Barriers* barriers;  // of each stage: it is full; it has been read
  int stages;

  // One thread; then a block-wide barrier.
  __device__ void open(unsigned readers) const {
    for (int s = 0; s < stages; ++s) {
      NV_IF_ELSE_TARGET(NV_PROVIDES_SM_90, (init_barrier(full(s), 1);),
                        (init_barrier(full(s), 32);))
      init_barrier(read(s), readers);
    }
    publish();
  }
  // What this thread wrote into shared memory comes before the copies.
  __device__ static void publish() {
    NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("fence.proxy.async.shared::cta;" ::: "memory");))
  }
  __device__ Barrier* full(int stage) const { return (*barriers)[0] + stage; }
  __device__ Barrier* read(int stage) const { return (*barriers)[1] + stage; }
};

// One warp's way round the ring, as the writer or as a reader.
template <class Ring>
class RingWalk {
 public:
  __device__ explicit RingWalk(const Ring& ring) : ring_(ring) {}

  // Shared-memory address of the next stage to be read, when it is full.
  __device__ unsigned await() const {
    await_phase(ring_.full(stage_), parity_);
    return shared_address(place());
  }
  __device__ void release() {
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(ring_.read(stage_));
    advance();
  }

  // Lane r's `from` is where row r starts, of which `bytes`, a multiple of 16, are copied.
  __device__ void write(const void* from, int bytes) {
    constexpr int kRows = Ring::kRows;
    constexpr int kPitch = Ring::kPitch;
    const int lane = static_cast<int>(threadIdx.x % 32);
    if (wrapped_) await_phase(ring_.read(stage_), parity_ ^ 1U);
    char* to = place();
    Barrier* full = ring_.full(stage_);
    NV_IF_ELSE_TARGET(
        NV_PROVIDES_SM_90,
        (if (lane == 0) expect(full, kRows * bytes); __syncwarp();
         if (lane < kRows) copy_bulk(to + lane * kPitch, from, bytes, full);),
        (for (int r = 0; r < kRows; ++r) {
          const auto row = __shfl_sync(~0U, reinterpret_cast<std::uintptr_t>(from), r);
          for (int at = 16 * lane; at < bytes; at += 16 * 32)
            copy_async_16(to + r * kPitch + at, reinterpret_cast<const char*>(row) + at);
        } arrive_after_copies(full);))
    advance();
    wrapped_ |= stage_ == 0;
  }

 private:
  __device__ char* place() const { return ring_.data + stage_ * Ring::kStageBytes; }
  __device__ void advance() {
    if (++stage_ < ring_.stages) return;
    stage_ = 0;
    parity_ ^= 1U;
  }
  __device__ static void expect(Barrier* barrier, int bytes) {
    asm volatile(
        "{\n.reg .b64 state;\nmbarrier.arrive.expect_tx.shared.b64 state, [%0], %1;\n}" ::"r"(
            shared_address(barrier)),
        "r"(bytes)
        : "memory");
  }
  __device__ static void copy_bulk(void* to, const void* from, int bytes, Barrier* barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
        "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(shared_address(barrier)), "l"(evict_first())
        : "memory");
  }
  __device__ static void arrive_after_copies(Barrier* barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(barrier))
                 : "memory");
  }

  const Ring& ring_;
  int stage_ = 0;
  unsigned parity_ = 0;
  bool wrapped_ = false;
};

}  // namespace dejavu::cuda
