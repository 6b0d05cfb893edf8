#include "engine/backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace dejavu::cuda {
namespace {

constexpr std::size_t kRingBytes = std::size_t{16} << 20;
constexpr std::size_t kSmall = std::size_t{1} << 20;

}  // namespace

Staging::Staging(Errors& errors)
    : errors_(errors),
      up_{make_pinned_memory(errors, kRingBytes)},
      down_{make_pinned_memory(errors, kRingBytes)} {}

// Once around, everything must have run before a byte is used again.
std::size_t Staging::take(Ring& ring, std::size_t bytes) {
  const std::size_t rounded = (bytes + 255) / 256 * 256;
  if (ring.head + rounded > kRingBytes) {
    errors_.check(cudaDeviceSynchronize());
    for (const Delivery& delivery : deliveries_) finish(delivery);
    deliveries_.clear();
    ring.head = 0;
  }
  const std::size_t offset = ring.head;
  ring.head += rounded;
  return offset;
}

void Staging::upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  const void* from = host;
  if (bytes <= kSmall && up_.memory != nullptr) {
    std::byte* place = up_.at(take(up_, bytes));
    std::memcpy(place, host, bytes);
    from = place;
  }
  errors_.check(cudaMemcpyAsync(device, from, bytes, cudaMemcpyHostToDevice, stream));
}

void Staging::download(void* host, const void* device, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  void* to = host;
  if (bytes <= kSmall && down_.memory != nullptr) {
    const std::size_t offset = take(down_, bytes);
    deliveries_.push_back({host, offset, bytes, group_, stream});
    to = down_.at(offset);
  }
  errors_.check(cudaMemcpyAsync(to, device, bytes, cudaMemcpyDeviceToHost, stream));
}

void Staging::finish(const Delivery& delivery) const {
  std::memcpy(delivery.to, down_.at(delivery.offset), delivery.bytes);
}

void Staging::deliver(std::uint64_t group, cudaStream_t stream) {
  const auto gone = std::remove_if(deliveries_.begin(), deliveries_.end(), [&](const Delivery& d) {
    if (d.stream != stream || d.group > group) return false;
    finish(d);
    return true;
  });
  deliveries_.erase(gone, deliveries_.end());
}

}  // namespace dejavu::cuda
