// The size of a page of the KV cache. Here because both sides need it: the backend, which stores
// pages, and the scheduler, which hands them out and knows no backend.
#pragma once

namespace dejavu {

inline constexpr int kKvPageTokens = 16;

}  // namespace dejavu
