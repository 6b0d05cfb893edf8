#include "server/hub/retry.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

namespace dejavu {
namespace {

constexpr std::size_t kParallel = 4;

}  // namespace

Status in_parallel(std::size_t count, const std::function<Status(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  Status failure;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(kParallel, count); ++i) {
    threads.emplace_back([&] {
      for (std::size_t at = next++; at < count; at = next++) {
        Status done = work(at);
        if (done) continue;
        const std::lock_guard lock(mutex);
        if (failure) failure = std::move(done);
        next = count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failure;
}

}  // namespace dejavu
