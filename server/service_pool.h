// Threads of the service: they sleep until work is posted and run it in order of arrival.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace dejavu {

class ServicePool {
 public:
  explicit ServicePool(int threads);
  // stop() must have been called.
  ~ServicePool() = default;
  ServicePool(const ServicePool&) = delete;
  ServicePool& operator=(const ServicePool&) = delete;

  // Any thread. The work must not throw. Dropped once stop() has returned.
  void post(std::function<void()> work);
  // Runs what was posted, then joins the threads. Not from a pool thread.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> work_;
  bool stopping_ = false;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace dejavu
