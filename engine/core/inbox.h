// Multi-producer, single-consumer queue: any thread pushes, one thread drains; the consumer sleeps
// while there is nothing to do.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

namespace dejavu {

template <class T>
class Inbox {
 public:
  // Any thread. False once closed; the value is then dropped.
  bool push(T value) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return false;
      items_.push_back(std::move(value));
    }
    ready_.notify_one();
    return true;
  }

  // Consumer: everything pushed so far, without waiting.
  std::vector<T> drain() {
    const std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

  // Consumer: waits until something is there, the inbox is closed, or wake() was called.
  std::vector<T> wait_drain() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return !items_.empty() || closed_ || woken_; });
    woken_ = false;
    return std::exchange(items_, {});
  }

  // Any thread: makes one wait_drain return although nothing was pushed.
  void wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    ready_.notify_one();
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_one();
  }

  bool closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> items_;
  bool closed_ = false;
  bool woken_ = false;
};

}  // namespace dejavu
