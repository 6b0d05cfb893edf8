// Sixteen bytes at a time from global to shared memory, without registers in between: how a thread
// keeps many loads in flight. Copies are closed into groups, which arrive in order.
#pragma once

namespace dejavu::cuda {

__device__ inline void copy_async_16(void* shared, const void* from) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(from));
}
__device__ inline void close_copies() { asm volatile("cp.async.commit_group;" ::); }
// All but the `later` newest groups have arrived, for the thread that asked for them.
template <int kLater>
__device__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLater) : "memory");
}

}  // namespace dejavu::cuda
