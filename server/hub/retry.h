// Work over a network: tried again after what may pass, and several pieces of it at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include "engine/core/result.h"

namespace dejavu {

constexpr int kHubAttempts = 5;
constexpr auto kHubFirstWait = std::chrono::milliseconds(250);

// Again after UNAVAILABLE, waiting longer each time. Only tries without `progress` count, so that a
// long download outlives many a broken connection.
template <class T>
Result<T> retried(
    const std::function<Result<T>()>& work,
    const std::function<std::uint64_t()>& progress = [] { return std::uint64_t{0}; }) {
  auto wait = kHubFirstWait;
  for (int failures = 0;;) {
    const std::uint64_t before = progress();
    auto result = work();
    if (result || result.error().code != ErrorCode::kUnavailable) return result;
    if (progress() > before) {
      failures = 0;
      wait = kHubFirstWait;
    }
    if (++failures == kHubAttempts) return result;
    std::this_thread::sleep_for(wait);
    wait *= 2;
  }
}

// work(0) … work(count - 1), four at a time, none begun after one failed: then the first failure.
Status in_parallel(std::size_t count, const std::function<Status(std::size_t)>& work);

}  // namespace dejavu
