// A GenerationSink that keeps what it is told and lets a test wait for the end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/generation_service.h"

namespace dejavu {

class RecordingSink final : public GenerationSink {
 public:
  void on_text(TextDelta delta) override {
    const std::lock_guard lock(mutex_);
    if (ended()) late_ = true;
    deltas_.push_back(std::move(delta));
    changed_.notify_all();
  }
  void on_done(const CallSummary& summary) override {
    const std::lock_guard lock(mutex_);
    if (ended()) late_ = true;
    summary_ = summary;
    changed_.notify_all();
  }
  void on_error(const Error& error) override {
    const std::lock_guard lock(mutex_);
    if (ended()) late_ = true;
    error_ = error;
    changed_.notify_all();
  }

  // False after a minute.
  bool wait_for_end() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [this] { return ended(); });
  }
  bool wait_for_deltas(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1),
                             [&] { return ended() || deltas_.size() >= count; });
  }

  // After the end.
  const std::vector<TextDelta>& deltas() const { return deltas_; }
  const std::optional<CallSummary>& summary() const { return summary_; }
  const std::optional<Error>& error() const { return error_; }
  bool anything_after_end() const { return late_; }
  std::string text(int choice = 0) const {
    std::string all;
    for (const TextDelta& delta : deltas_) {
      if (delta.choice == choice) all += delta.text;
    }
    return all;
  }
  // The delta that ended a choice.
  const TextDelta* last(int choice = 0) const {
    for (const TextDelta& delta : deltas_) {
      if (delta.choice == choice && delta.finish != FinishReason::kNone) return &delta;
    }
    return nullptr;
  }

 private:
  bool ended() const { return summary_ || error_; }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<TextDelta> deltas_;
  std::optional<CallSummary> summary_;
  std::optional<Error> error_;
  bool late_ = false;
};

}  // namespace dejavu
