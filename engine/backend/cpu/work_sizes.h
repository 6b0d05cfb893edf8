// How ops are cut into items for the workers.
#pragma once

#include <cstdint>

namespace dejavu {

// Elements below which waking the workers costs more than the work.
constexpr std::int64_t kSmallWork = 8192;
constexpr std::int64_t kItemsPerThread = 4;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t to) { return ceil_div(a, to) * to; }

}  // namespace dejavu
