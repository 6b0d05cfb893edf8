// The sink of one call: keeps what the service pool delivers until the connection's coroutine takes
// it. What is kept is bounded by the call's max_tokens.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "server/generation_service.h"

namespace dejavu {

using CallEvent = std::variant<TextDelta, CallSummary, Error>;

class CallEvents final : public GenerationSink {
 public:
  // `notify` runs on pool threads after every event, until close().
  explicit CallEvents(std::function<void()> notify) : notify_(std::move(notify)) {}

  void on_text(TextDelta delta) override { add(std::move(delta)); }
  void on_done(const CallSummary& summary) override { add(summary); }
  void on_error(const Error& error) override { add(error); }

  std::vector<CallEvent> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }
  // The reader is gone: nothing is kept or notified from here on.
  void close() {
    const std::lock_guard lock(mutex_);
    notify_ = nullptr;
    events_.clear();
  }

 private:
  void add(CallEvent event) {
    const std::lock_guard lock(mutex_);
    if (!notify_) return;
    events_.push_back(std::move(event));
    notify_();
  }

  std::mutex mutex_;
  std::function<void()> notify_;
  std::vector<CallEvent> events_;
};

}  // namespace dejavu
