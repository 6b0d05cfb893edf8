// What an op's launcher gets: the stream, where to report failures, and the stream's own working
// memory. Ops of one stream run in order, so each may use all of it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/errors.h"

namespace dejavu::cuda {

class Gemm;

struct Queue {
  cudaStream_t stream = nullptr;
  Errors* errors = nullptr;
  Gemm* gemm = nullptr;
  std::byte* arena = nullptr;  // contents last until the op's end
  std::size_t arena_bytes = 0;
  // Zero between ops: blocks draw numbers to find out who arrives last, and the last one puts the
  // zero back.
  unsigned* tickets = nullptr;
  int ticket_count = 0;
  int processors = 0;            // multiprocessors
  std::size_t shared_bytes = 0;  // that a block may have
  // Kernels may start before the one before them has ended, and wait for it inside (Hopper's
  // programmatic dependent launch).
  bool early_start = false;
  // While a step is recorded, behind a join: the stream's last kernel before it (join.h).
  cudaGraphNode_t before_join = nullptr;
  // Sets of units that the op reads were written so many kernels ago that they too may be read
  // before await_inputs().
  bool sets_ready = false;

  template <class T>
  T* scratch() const {
    return static_cast<T*>(static_cast<void*>(arena));
  }
};

}  // namespace dejavu::cuda
