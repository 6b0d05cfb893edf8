// How far loading is: a bar on a terminal, else a log line every few seconds.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace dejavu {

// "31.2 MiB"
std::string format_bytes(std::size_t bytes);

class LoadProgressDisplay {
 public:
  // `what` is going on: "loading opt-1.3b".
  explicit LoadProgressDisplay(std::string what);
  // One thread at a time.
  void update(std::size_t done, std::size_t total);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point last_;
};

}  // namespace dejavu
