// The bounded queue, counted in sequences: asked by any thread before a request enters, and told
// by the engine thread what ends and how many can run.
#pragma once

#include <atomic>

namespace dejavu {

class QueueGate {
 public:
  QueueGate(int running, int max_queued) : running_(running), max_queued_(max_queued) {}

  // Any thread. All of `sequences` or none.
  bool try_enter(int sequences) {
    int live = live_.load();
    do {
      if (live + sequences > running_.load() + max_queued_) return false;
    } while (!live_.compare_exchange_weak(live, live + sequences));
    return true;
  }
  void leave(int sequences) { live_ -= sequences; }

  // Engine thread: how many sequences run when the queue is not empty (KV pages may allow fewer
  // than max_num_seqs).
  void set_running(int running) { running_ = running; }

  int live() const { return live_.load(); }
  int max_queued() const { return max_queued_; }

 private:
  std::atomic<int> live_{0};  // waiting and running
  std::atomic<int> running_;
  const int max_queued_;
};

}  // namespace dejavu
