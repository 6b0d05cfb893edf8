// Makes the backend that the options name. `auto` takes a usable GPU and else the CPU (one log line
// says so); `cuda` without a usable GPU is an error.
#pragma once

#include <memory>

#include "engine/backend/backend.h"

namespace dejavu {

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options);
// Defined by cuda/ or, in a build without nvcc, by cuda_absent.cpp.
Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options);

}  // namespace dejavu
