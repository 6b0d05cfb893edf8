#include "engine/backend/cpu/worker_pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

namespace dejavu {
namespace {

constexpr auto kSpin = std::chrono::microseconds(50);
// A share packs its op's epoch (32 bits) and two item numbers (16 bits each).
constexpr int kItemBits = 16;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;

std::uint64_t pack(std::uint32_t epoch, std::uint64_t begin, std::uint64_t end) {
  return (std::uint64_t{epoch} << (2 * kItemBits)) | (begin << kItemBits) | end;
}

// Waits until `value` differs from `old`: spins first, then sleeps.
void wait_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
}

void pin(pthread_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  // Pinning is an optimisation: a refusal changes nothing but speed.
  (void)pthread_setaffinity_np(thread, sizeof set, &set);
}

}  // namespace

WorkerPool::WorkerPool(int threads, const std::vector<int>& cpus)
    : slots_(static_cast<std::size_t>(std::max(threads, 1))) {
  for (std::size_t i = 1; i < slots_.size(); ++i) {
    threads_.emplace_back([this, i] { loop(i); });
    if (i < cpus.size()) pin(threads_.back().native_handle(), cpus[i]);
  }
}

WorkerPool::~WorkerPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(std::int64_t items, Function function, const void* context) {
  if (slots_.size() == 1 || items <= 1) {
    for (std::int64_t item = 0; item < items; ++item) function(context, item, 0);
    return;
  }
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  const auto total = static_cast<std::uint64_t>(items);
  function_.store(function, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  remaining_.store(static_cast<std::uint32_t>(items), std::memory_order_relaxed);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const std::uint64_t share =
        pack(epoch, total * i / slots_.size(), total * (i + 1) / slots_.size());
    slots_[i].share.store(share, std::memory_order_release);
  }
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
  work(0, epoch);
  for (std::uint32_t left = remaining_.load(std::memory_order_acquire); left != 0;
       left = remaining_.load(std::memory_order_acquire)) {
    wait_change(remaining_, left);
  }
}

bool WorkerPool::take(std::size_t slot, std::uint32_t epoch, bool own, std::int64_t& item) {
  std::atomic<std::uint64_t>& share = slots_[slot].share;
  std::uint64_t seen = share.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t begin = (seen >> kItemBits) & kItemMask;
    const std::uint64_t end = seen & kItemMask;
    if ((seen >> (2 * kItemBits)) != (epoch) || begin == end) return false;
    const std::uint64_t rest = own ? pack(epoch, begin + 1, end) : pack(epoch, begin, end - 1);
    if (share.compare_exchange_weak(seen, rest, std::memory_order_acq_rel)) {
      item = static_cast<std::int64_t>(own ? begin : end - 1);
      return true;
    }
  }
}

void WorkerPool::work(std::size_t self, std::uint32_t epoch) {
  // A successful take proves that op `epoch` is still running, hence that these two are its own.
  const Function function = function_.load(std::memory_order_relaxed);
  const void* context = context_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const std::size_t slot = (self + i) % slots_.size();
    std::int64_t item = 0;
    while (take(slot, epoch, slot == self, item)) {
      function(context, item, static_cast<int>(self));
      if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) remaining_.notify_one();
    }
  }
}

void WorkerPool::loop(std::size_t self) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_change(epoch_, seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    work(self, seen);
  }
}

}  // namespace dejavu
