// Every ten seconds one log line with what the server does; silent when it does nothing.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "engine/engine.h"
#include "server/admin/metrics.h"

namespace dejavu {

// Turns two readings into the line. One thread at a time.
class StatsLine {
 public:
  // The line for the time since the last call, or nothing when no token moved and nothing waits.
  std::optional<std::string> next(const EngineStats& engine, const TokenTotals& tokens,
                                  double seconds);

 private:
  EngineStats last_engine_;
  TokenTotals last_tokens_;
};

class StatsLogger {
 public:
  // Logs from its own thread until destroyed. `metrics` and what `engine` calls must outlive it.
  StatsLogger(const Metrics& metrics, std::function<EngineStats()> engine);
  ~StatsLogger();
  StatsLogger(const StatsLogger&) = delete;
  StatsLogger& operator=(const StatsLogger&) = delete;

 private:
  void run();

  const Metrics& metrics_;
  std::function<EngineStats()> engine_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dejavu
