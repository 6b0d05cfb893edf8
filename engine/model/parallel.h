// Runs a function over ranges of rows on a few threads, for loading only: the backend's workers
// serve its ops.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace dejavu {

inline void parallel_rows(std::int64_t rows,
                          const std::function<void(std::int64_t begin, std::int64_t end)>& work) {
  constexpr std::int64_t kMostThreads = 16;
  const std::int64_t cpus = std::max(1U, std::thread::hardware_concurrency());
  const std::int64_t share = (rows - 1) / std::min(cpus, kMostThreads) + 1;
  std::vector<std::jthread> threads;
  for (std::int64_t begin = share; begin < rows; begin += share)
    threads.emplace_back([&work, begin, end = std::min(rows, begin + share)] { work(begin, end); });
  work(0, std::min(rows, share));
}

}  // namespace dejavu
