// The latest values of one figure and their quantiles. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <vector>

namespace dejavu {

struct Quantiles {
  std::size_t count = 0;  // values they rest on; 0: none yet
  double p50 = 0;
  double p95 = 0;
};

class RecentValues {
 public:
  static constexpr std::size_t kKept = 512;

  void add(double value) {
    const std::lock_guard lock(mutex_);
    if (values_.size() < kKept) {
      values_.push_back(value);
    } else {
      values_[next_] = value;
      next_ = (next_ + 1) % kKept;
    }
  }

  Quantiles quantiles() const {
    std::vector<double> values;
    {
      const std::lock_guard lock(mutex_);
      values = values_;
    }
    if (values.empty()) return {};
    std::sort(values.begin(), values.end());
    const auto at = [&](std::size_t percent) {
      return values[(values.size() - 1) * percent / 100];
    };
    return {values.size(), at(50), at(95)};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<double> values_;
  std::size_t next_ = 0;  // the oldest, once kKept are there
};

}  // namespace dejavu
