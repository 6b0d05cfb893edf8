// Blocks of host memory for weights, KV pages and workspaces.
#pragma once

#include <cstddef>

#include "engine/core/buffer.h"
#include "engine/core/result.h"

namespace dejavu {

// Bytes from which a block is mapped on its own and asks for huge pages.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Zero-filled and aligned to 64 bytes (large blocks: to a huge page, not yet touched). Fails with
// kResourceExhausted.
Result<Buffer> allocate_host(std::size_t bytes);

}  // namespace dejavu
