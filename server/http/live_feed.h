// What the live view is fed with: readings of the server's figures as JSON. One reading an interval
// serves every listener, and a listener that is slow misses readings instead of queueing them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/admin/metrics.h"
#include "server/generation_service.h"

namespace dejavu {

class LiveFeed {
 public:
  static constexpr std::chrono::milliseconds kInterval{500};
  static constexpr int kMaxListeners = 32;

  struct Reading {
    std::uint64_t number = 0;  // 1, 2, 3 …
    std::shared_ptr<const std::string> json;
  };
  // Held while somebody listens.
  using Seat = std::shared_ptr<const void>;

  LiveFeed(const GenerationService& service, const Metrics& metrics)
      : service_(service), metrics_(metrics) {}

  // The newest reading; a new one is taken when that is older than kInterval. Any thread.
  Reading latest();
  // Null: kMaxListeners listen already. The feed must outlive the seat.
  Seat take_seat();

 private:
  using Clock = std::chrono::steady_clock;
  // Counters of a layer's two blocks.
  struct LayerCounts {
    std::uint64_t mlp_selected = 0, mlp_candidates = 0;
    std::uint64_t head_selected = 0, head_candidates = 0;
  };

  std::string read(double seconds);

  const GenerationService& service_;
  const Metrics& metrics_;
  std::atomic<int> listeners_{0};

  std::mutex mutex_;  // guards the rest
  Reading reading_;
  Clock::time_point read_at_;
  TokenTotals last_tokens_;
  std::vector<LayerCounts> last_layers_;
};

}  // namespace dejavu
