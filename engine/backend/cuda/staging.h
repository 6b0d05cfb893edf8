// Small copies through pinned memory, so that neither direction makes the host wait for the device:
// what is uploaded is taken at once, what is downloaded is delivered when the copy is known to have
// run. Large copies go straight.
#pragma once

#include <cstdint>
#include <deque>

#include "engine/backend/cuda/resources.h"

namespace dejavu::cuda {

class Staging {
 public:
  explicit Staging(Errors& errors);

  void upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream);
  void download(void* host, const void* device, std::size_t bytes, cudaStream_t stream);

  // Everything queued so far belongs to the returned number.
  std::uint64_t close_group() { return group_++; }
  // What was queued on this stream, up to this group, has run: downloads reach their places.
  void deliver(std::uint64_t group, cudaStream_t stream);
  void deliver(cudaStream_t stream) { deliver(group_, stream); }

 private:
  struct Delivery {
    void* to = nullptr;
    std::size_t offset = 0;
    std::size_t bytes = 0;
    std::uint64_t group = 0;
    cudaStream_t stream = nullptr;
  };
  // A ring of pinned memory; taking more than is free waits for the device.
  struct Ring {
    PinnedMemory memory;
    std::size_t head = 0;
    std::byte* at(std::size_t offset) const {
      return static_cast<std::byte*>(memory.get()) + offset;
    }
  };
  std::size_t take(Ring& ring, std::size_t bytes);
  void finish(const Delivery& delivery) const;

  Errors& errors_;
  Ring up_;
  Ring down_;
  std::deque<Delivery> deliveries_;
  std::uint64_t group_ = 1;
};

}  // namespace dejavu::cuda
