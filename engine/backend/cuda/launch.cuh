// The one way a kernel is launched: on an explicit stream, checked. A kernel's first act is
// await_inputs(): what it reads before that must be memory that no kernel writes (weights), or that
// kernels well before it wrote (Queue::sets_ready).
#pragma once

#include <nv/target>
#include <source_location>
#include <utility>

#include "engine/backend/cuda/join.h"
#include "engine/backend/cuda/queue.h"

namespace dejavu::cuda {

struct Grid {
  dim3 blocks;
  int threads = 0;
  std::size_t shared_bytes = 0;
  std::source_location where = std::source_location::current();
};

inline Grid grid(dim3 blocks, int threads, std::size_t shared_bytes = 0,
                 std::source_location where = std::source_location::current()) {
  return {blocks, threads, shared_bytes, where};
}

template <class... Params, class... Args>
void launch(const Queue& queue, const Grid& shape, void (*kernel)(Params...), Args&&... args) {
  constexpr std::size_t kPlainShared = 24 << 10;  // beside what a kernel declares itself
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  if (shape.shared_bytes > kPlainShared) {
    queue.errors->check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             static_cast<int>(shape.shared_bytes)),
                        shape.where);
  }
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.blocks;
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = queue.stream;
  config.attrs = &early;
  config.numAttrs = queue.early_start ? 1 : 0;
  if (queue.before_join != nullptr) start_early_behind_join(queue);
  queue.errors->check(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...),
                      shape.where);
}

// The next kernel's blocks may come in where there is room; they wait in await_inputs(). Small
// kernels do this first of all, so that the next one loads its weights beside them and beside what
// they wait for.
__device__ inline void invite_next() {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.launch_dependents;" :::);))
}

// Everything queued before this kernel has run and is visible.
__device__ inline void await_inputs() {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.wait;" ::: "memory");))
  invite_next();
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace dejavu::cuda
