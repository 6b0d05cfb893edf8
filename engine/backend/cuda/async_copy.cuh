// Sixteen bytes at a time from global to shared memory, without registers in between: how a thread
// keeps many loads in flight. Copies are closed into groups, which arrive in order.
#pragma once

#include <cstdint>

namespace dejavu::cuda {

// For what is read once, as weights are: it leaves the L2 cache to what is not.
__device__ inline std::uint64_t evict_first() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

__device__ inline void copy_async_16(void* shared, const void* from) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::256B [%0], [%1], 16, %2;" ::"r"(to),
               "l"(from), "l"(evict_first()));
}
__device__ inline void close_copies() { asm volatile("cp.async.commit_group;" ::); }
// All but the `later` newest groups have arrived, for the thread that asked for them.
template <int kLater>
__device__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLater) : "memory");
}

}  // namespace dejavu::cuda
