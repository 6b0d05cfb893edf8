// CUDA calls and launches, checked: the first one that fails is kept, with its file and line, until
// synchronize() or wait() reports it. One thread at a time, like the backend.
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <source_location>
#include <string>

#include "engine/core/result.h"

namespace dejavu::cuda {

// "out of memory (cudaErrorMemoryAllocation) at cuda_backend.cpp:40"
std::string describe(cudaError_t code, const std::source_location& where);

class Errors {
 public:
  // True when `code` is success; else keeps it, if it is the first.
  bool check(cudaError_t code, std::source_location where = std::source_location::current());
  void fail(std::string message);
  Status status() const;

 private:
  std::optional<Error> first_;
};

}  // namespace dejavu::cuda
