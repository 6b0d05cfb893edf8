// What the main thread waits for: a signal that asks to stop, or news from another thread.
#pragma once

#include <chrono>
#include <deque>
#include <mutex>
#include <optional>

namespace dejavu {

enum class Event { kLoaded, kStop, kFatal };

class EventQueue {
 public:
  // Call before other threads start: they must inherit the blocked signals. SIGPIPE is ignored.
  EventQueue();
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  void post(Event event);  // any thread
  // Main thread. Nothing when the time is over. The first SIGTERM or SIGINT comes as kStop; from
  // then on these signals end the process at once.
  std::optional<Event> wait(std::optional<std::chrono::milliseconds> timeout);

 private:
  int signals_ = -1;  // signalfd
  int posted_ = -1;   // eventfd, counts items_
  std::mutex mutex_;
  std::deque<Event> items_;
};

}  // namespace dejavu
