// Single-producer, single-consumer ring of fixed capacity. One thread calls try_push, one try_pop;
// neither blocks nor allocates after construction.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

namespace dejavu {

template <class T>
class Ring {
 public:
  explicit Ring(std::size_t capacity) : slots_(capacity + 1) {}

  // Producer. False when full.
  bool try_push(T value) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t next = (tail + 1) % slots_.size();
    if (next == head_.load(std::memory_order_acquire)) return false;
    slots_[tail] = std::move(value);
    tail_.store(next, std::memory_order_release);
    return true;
  }

  // Consumer. False when empty.
  bool try_pop(T& out) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    out = std::move(slots_[head]);
    head_.store((head + 1) % slots_.size(), std::memory_order_release);
    return true;
  }

  std::size_t capacity() const { return slots_.size() - 1; }

 private:
  std::vector<T> slots_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace dejavu
