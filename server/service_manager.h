// What systemd is told of a service of Type=notify: that it is ready, that it stops, and now and
// then that it lives (sd_notify(3)). Under no service manager nothing is sent. One thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace dejavu {

class ServiceManager {
 public:
  using Clock = std::chrono::steady_clock;

  // From NOTIFY_SOCKET and WATCHDOG_USEC.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void ready() const { send("READY=1\nSTATUS=ready"); }
  void stopping() const { send("STOPPING=1\nSTATUS=finishing what runs"); }
  void loading(std::string_view what) const { send("STATUS=loading " + std::string(what)); }
  // Tells the watchdog that all is well, unless it was told a moment ago.
  void alive();
  // How often alive() is to be called; an hour when nobody watches.
  Clock::duration interval() const { return interval_; }

 private:
  void send(std::string_view message) const;

  std::string address_;  // empty: none
  int socket_ = -1;
  bool watched_ = false;
  Clock::duration interval_ = std::chrono::hours(1);
  Clock::time_point next_;
};

}  // namespace dejavu
