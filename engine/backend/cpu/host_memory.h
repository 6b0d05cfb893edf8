// Blocks of host memory for weights, KV pages and workspaces.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/core/buffer.h"
#include "engine/core/result.h"

namespace dejavu {

// Bytes from which a block is mapped on its own and asks for huge pages.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Zero-filled and aligned to 64 bytes (large blocks: to a huge page, not yet touched). Fails with
// kResourceExhausted.
Result<Buffer> allocate_host(std::size_t bytes);

// Blocks as of allocate_host(), those of a middle size side by side in huge pages: the matrices of
// a small model, each on pages of 4 KB, are read at half the speed when they come from memory.
// Their memory goes back to the system when every block of a chunk has been given back.
class HostArena {
 public:
  Result<Buffer> allocate(std::size_t bytes);

 private:
  std::shared_ptr<Buffer> chunk_;
  std::size_t used_ = 0;  // bytes of it
};

}  // namespace dejavu
