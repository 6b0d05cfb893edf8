#include "server/load/run_load.h"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

// When each request is due, in seconds from the start.
std::vector<double> arrival_times(std::size_t count, const LoadOptions& options,
                                  std::uint64_t seed) {
  std::vector<double> times(count, 0.0);
  if (std::isinf(options.request_rate)) return times;
  std::mt19937_64 random(seed);
  std::gamma_distribution<double> gap(options.burstiness,
                                      1.0 / (options.request_rate * options.burstiness));
  for (std::size_t i = 1; i < count; ++i) times[i] = times[i - 1] + gap(random);
  return times;
}

class Run {
 public:
  Run(std::size_t count, const LoadOptions& options,
      const std::function<void(const LoadProgress&)>& progress)
      : most_in_flight_(options.max_concurrency > 0
                            ? static_cast<std::size_t>(options.max_concurrency)
                            : count),
        progress_(progress) {
    records_.reserve(count);
  }

  // Sender: waits until `due`, and until there is room in flight.
  void admit(double due) {
    wait_until([] { return false; }, due);
    wait_until([this] { return sent_ - records_.size() < most_in_flight_; });
    const std::lock_guard lock(mutex_);
    ++sent_;
  }

  // Any thread. Notifies under the lock: after the last record, finish() ends this object.
  void ended(LoadRecord record) {
    const std::lock_guard lock(mutex_);
    if (!record.error.empty()) ++failed_;
    records_.push_back(std::move(record));
    changed_.notify_one();
  }

  LoadRun finish() {
    wait_until([this] { return records_.size() == sent_; });
    const std::lock_guard lock(mutex_);
    return {seconds(), std::move(records_)};
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  // Until the condition (under the lock) or the time comes; shows progress on the way.
  template <class Condition>
  void wait_until(Condition condition, double due = HUGE_VAL) {
    std::unique_lock lock(mutex_);
    while (!condition() && seconds() < due) {
      const double wait = std::min({1.0, due - seconds(), shown_ + 1.0 - seconds()});
      changed_.wait_for(lock, std::chrono::duration<double>(std::max(wait, 0.0)));
      if (seconds() < shown_ + 1.0) continue;
      shown_ = seconds();
      progress_({static_cast<int>(sent_), static_cast<int>(records_.size()), failed_});
    }
  }

  const std::size_t most_in_flight_;
  const std::function<void(const LoadProgress&)>& progress_;
  const Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t sent_ = 0;
  int failed_ = 0;
  double shown_ = 0;
  std::vector<LoadRecord> records_;
};

}  // namespace

LoadRun run_load(LoadTarget& target, const std::vector<LoadPrompt>& prompts,
                 const LoadOptions& options, std::uint64_t seed,
                 const std::function<void(const LoadProgress&)>& progress) {
  const std::vector<double> due = arrival_times(prompts.size(), options, seed);
  Run run(prompts.size(), options, progress);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    run.admit(due[i]);
    target.send(prompts[i], [&run](LoadRecord record) { run.ended(std::move(record)); });
  }
  return run.finish();
}

}  // namespace dejavu
