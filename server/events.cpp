#include "server/events.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

namespace dejavu {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

EventQueue::EventQueue() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  // A semaphore: each read takes one post.
  posted_ = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
}

EventQueue::~EventQueue() {
  close(signals_);
  close(posted_);
}

void EventQueue::post(Event event) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(event);
  }
  eventfd_write(posted_, 1);
}

std::optional<Event> EventQueue::wait(std::optional<std::chrono::milliseconds> timeout) {
  pollfd waits[] = {{signals_, POLLIN, 0}, {posted_, POLLIN, 0}};
  if (poll(waits, 2, timeout ? static_cast<int>(timeout->count()) : -1) <= 0) return std::nullopt;
  if ((waits[0].revents & POLLIN) != 0) {
    signalfd_siginfo taken{};
    if (read(signals_, &taken, sizeof taken) != sizeof taken) return std::nullopt;
    const sigset_t set = stop_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    return Event::kStop;
  }
  eventfd_t one = 0;
  if (eventfd_read(posted_, &one) != 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const Event event = items_.front();
  items_.pop_front();
  return event;
}

}  // namespace dejavu
