// What the audit changed, as log lines: a layer widened, a layer made dense.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sparsity/control.h"

namespace dejavu {

// Tells each event once. One thread at a time.
class NewSparsityEvents {
 public:
  std::vector<std::string> in(const SparsityStatus& status);

 private:
  std::uint64_t last_ = 0;
};

class SparsityEventLogger {
 public:
  // Looks once a second from its own thread until destroyed, and a last time then. What `status`
  // calls must outlive it.
  explicit SparsityEventLogger(std::function<SparsityStatus()> status);
  ~SparsityEventLogger();
  SparsityEventLogger(const SparsityEventLogger&) = delete;
  SparsityEventLogger& operator=(const SparsityEventLogger&) = delete;

 private:
  void run();

  std::function<SparsityStatus()> status_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dejavu
