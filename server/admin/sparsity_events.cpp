#include "server/admin/sparsity_events.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace dejavu {

std::vector<std::string> NewSparsityEvents::in(const SparsityStatus& status) {
  std::vector<std::string> messages;
  for (const SparsityEvent& event : status.events) {
    if (event.number <= last_) continue;
    last_ = event.number;
    messages.push_back(event.message);
  }
  return messages;
}

SparsityEventLogger::SparsityEventLogger(std::function<SparsityStatus()> status)
    : status_(std::move(status)), thread_([this] { run(); }) {}

SparsityEventLogger::~SparsityEventLogger() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void SparsityEventLogger::run() {
  constexpr std::chrono::seconds kInterval{1};
  NewSparsityEvents events;
  std::unique_lock lock(mutex_);
  bool last = false;
  while (!last) {
    last = stop_.wait_for(lock, kInterval, [this] { return stopping_; });
    for (const std::string& message : events.in(status_())) spdlog::warn("sparsity: {}", message);
  }
}

}  // namespace dejavu
