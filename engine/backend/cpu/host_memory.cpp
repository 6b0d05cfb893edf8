#include "engine/backend/cpu/host_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace dejavu {
namespace {

constexpr std::size_t kAlignment = 64;
// Smaller blocks stay alone, where a sanitizer sees what is read past their end.
constexpr std::size_t kLeastShared = std::size_t{32} << 10;
constexpr std::size_t kChunkBytes = std::size_t{32} << 20;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

tl::unexpected<Error> out_of_memory(std::size_t bytes) {
  return fail(ErrorCode::kResourceExhausted,
              "the system refused " + std::to_string(bytes >> 20) + " MiB of memory");
}

}  // namespace

Result<Buffer> allocate_host(std::size_t bytes) {
  if (bytes < kHugePageBytes) {
    const std::size_t rounded = round_up(bytes == 0 ? 1 : bytes, kAlignment);
    void* data = std::aligned_alloc(kAlignment, rounded);
    if (data == nullptr) return out_of_memory(bytes);
    std::memset(data, 0, rounded);
    return Buffer(data, bytes, [](void* block, std::size_t) { std::free(block); });
  }
  // Mapped with room to start at a huge page.
  const std::size_t mapped = round_up(bytes, kHugePageBytes) + kHugePageBytes;
  if (mapped < bytes) return out_of_memory(bytes);
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return out_of_memory(bytes);
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  auto* data = static_cast<std::byte*>(base) + (round_up(address, kHugePageBytes) - address);
  // Only a hint: without huge pages everything works, slower.
  (void)madvise(data, round_up(bytes, kHugePageBytes), MADV_HUGEPAGE);
  return Buffer(data, bytes, [base, mapped](void*, std::size_t) { munmap(base, mapped); });
}

Result<Buffer> HostArena::allocate(std::size_t bytes) {
  if (bytes < kLeastShared || bytes >= kHugePageBytes) return allocate_host(bytes);
  const std::size_t rounded = round_up(bytes, kAlignment);
  if (chunk_ == nullptr || rounded > chunk_->bytes() - used_) {
    Result<Buffer> chunk = allocate_host(kChunkBytes);
    if (!chunk) return chunk;
    chunk_ = std::make_shared<Buffer>(std::move(*chunk));
    used_ = 0;
  }
  std::byte* data = chunk_->as<std::byte>() + used_;
  used_ += rounded;
  return Buffer(data, bytes, [chunk = chunk_](void*, std::size_t) {});
}

}  // namespace dejavu
