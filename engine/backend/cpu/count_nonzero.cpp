#include <algorithm>
#include <array>
#include <atomic>

#include "engine/backend/cpu/cpu_backend.h"

namespace dejavu {
namespace {

constexpr std::int64_t kColumns = 2048;

bool is_nonzero(float value) { return value != 0; }
bool is_nonzero(std::uint16_t value) { return (value & 0x7fffU) != 0; }

// Adds the rows' counts within columns [begin, end), and returns the columns that any row has.
template <class Element>
int count_columns(const CountNonzeroArgs& args, std::int64_t begin, std::int64_t end) {
  std::array<bool, kColumns> any{};
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    const Element* row = static_cast<const Element*>(args.x.row(t)) + begin;
    int count = 0;
    for (std::int64_t i = 0; i < end - begin; ++i) {
      const bool there = is_nonzero(row[i]);
      any[static_cast<std::size_t>(i)] |= there;
      count += static_cast<int>(there);
    }
    std::atomic_ref(args.counts[t]).fetch_add(count, std::memory_order_relaxed);
  }
  return static_cast<int>(std::ranges::count(any, true));
}

}  // namespace

void CpuBackend::count_nonzero(const CountNonzeroArgs& args, StreamId /*stream*/) {
  std::fill(args.counts, args.counts + args.x.rows, 0);
  std::atomic<std::int32_t> in_use{0};
  pool_.parallel_for((args.x.cols + kColumns - 1) / kColumns, [&](std::int64_t item, int) {
    const std::int64_t begin = item * kColumns;
    const std::int64_t end = std::min(args.x.cols, begin + kColumns);
    in_use += args.x.dtype == DType::kF32 ? count_columns<float>(args, begin, end)
                                          : count_columns<std::uint16_t>(args, begin, end);
  });
  *args.union_count = in_use;
}

}  // namespace dejavu
