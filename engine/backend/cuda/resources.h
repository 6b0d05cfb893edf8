// Owners of what the CUDA runtime hands out. Making one can fail; giving it back cannot.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "engine/backend/cuda/errors.h"

namespace dejavu::cuda {

struct StreamDestroyer {
  void operator()(cudaStream_t stream) const { static_cast<void>(cudaStreamDestroy(stream)); }
};
using Stream = std::unique_ptr<CUstream_st, StreamDestroyer>;

struct EventDestroyer {
  void operator()(cudaEvent_t event) const { static_cast<void>(cudaEventDestroy(event)); }
};
using Event = std::unique_ptr<CUevent_st, EventDestroyer>;

struct DeviceFreer {
  void operator()(void* memory) const { static_cast<void>(cudaFree(memory)); }
};
using DeviceMemory = std::unique_ptr<void, DeviceFreer>;

struct PinnedFreer {
  void operator()(void* memory) const { static_cast<void>(cudaFreeHost(memory)); }
};
using PinnedMemory = std::unique_ptr<void, PinnedFreer>;

// Null after a failure, which `errors` has. High priority streams run their blocks first.
enum class Priority : std::uint8_t { kLow, kHigh };
Stream make_stream(Errors& errors, Priority priority);
enum class Timing : std::uint8_t { kOff, kOn };
Event make_event(Errors& errors, Timing timing = Timing::kOff);
DeviceMemory make_device_memory(Errors& errors, std::size_t bytes);
PinnedMemory make_pinned_memory(Errors& errors, std::size_t bytes);

}  // namespace dejavu::cuda
