#include "engine/backend/cuda/resources.h"

namespace dejavu::cuda {

Stream make_stream(Errors& errors, Priority priority) {
  int low = 0;
  int high = 0;
  errors.check(cudaDeviceGetStreamPriorityRange(&low, &high));
  cudaStream_t stream = nullptr;
  errors.check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                            priority == Priority::kHigh ? high : low));
  return Stream(stream);
}

Event make_event(Errors& errors, Timing timing) {
  cudaEvent_t event = nullptr;
  errors.check(cudaEventCreateWithFlags(
      &event, timing == Timing::kOn ? cudaEventDefault : cudaEventDisableTiming));
  return Event(event);
}

DeviceMemory make_device_memory(Errors& errors, std::size_t bytes) {
  void* memory = nullptr;
  errors.check(cudaMalloc(&memory, bytes));
  return DeviceMemory(memory);
}

PinnedMemory make_pinned_memory(Errors& errors, std::size_t bytes) {
  void* memory = nullptr;
  errors.check(cudaMallocHost(&memory, bytes));
  return PinnedMemory(memory);
}

}  // namespace dejavu::cuda
