#include "server/load/load_target.h"

#include <chrono>
#include <utility>

namespace dejavu {

std::int64_t LoadStopwatch::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double LoadStopwatch::elapsed() const { return static_cast<double>(now_ns() - start_ns_) * 1e-9; }

void LoadStopwatch::token() {
  const double now = elapsed();
  if (record_.ttft == 0) {
    record_.ttft = now;
  } else {
    record_.gaps.push_back(now - last_);
  }
  last_ = now;
}

LoadRecord LoadStopwatch::finish(std::string error) {
  record_.e2e = elapsed();
  record_.error = std::move(error);
  record_.prompt_tokens = prompt_tokens;
  record_.completion_tokens = completion_tokens;
  return std::move(record_);
}

}  // namespace dejavu
