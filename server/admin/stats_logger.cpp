#include "server/admin/stats_logger.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace dejavu {

namespace {

constexpr std::chrono::seconds kInterval{10};

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<std::string> StatsLine::next(const EngineStats& engine, const TokenTotals& tokens,
                                           double seconds) {
  const std::uint64_t prompt = tokens.prompt - last_tokens_.prompt;
  const std::uint64_t generation = tokens.generation - last_tokens_.generation;
  const std::uint64_t queries = engine.prefix_query_tokens - last_engine_.prefix_query_tokens;
  const std::uint64_t hits = engine.prefix_hit_tokens - last_engine_.prefix_hit_tokens;
  const bool idle = prompt == 0 && generation == 0 && engine.running == 0 && engine.waiting == 0;
  last_tokens_ = tokens;
  last_engine_ = engine;
  if (idle) return std::nullopt;
  return fmt::format(
      "prompt {:.1f} tokens/s, generation {:.1f} tokens/s, running {}, waiting {}, KV cache {:.1f} "
      "%, prefix hits {:.1f} %",
      static_cast<double>(prompt) / seconds, static_cast<double>(generation) / seconds,
      engine.running, engine.waiting,
      percent(static_cast<std::uint64_t>(engine.kv_pages_used),
              static_cast<std::uint64_t>(engine.kv_pages_total)),
      percent(hits, queries));
}

StatsLogger::StatsLogger(const Metrics& metrics, std::function<EngineStats()> engine)
    : metrics_(metrics), engine_(std::move(engine)), thread_([this] { run(); }) {}

StatsLogger::~StatsLogger() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void StatsLogger::run() {
  StatsLine line;
  auto last = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kInterval, [this] { return stopping_; })) {
    const auto now = std::chrono::steady_clock::now();
    const auto text = line.next(engine_(), metrics_.token_totals(),
                                std::chrono::duration<double>(now - last).count());
    last = now;
    if (text) spdlog::info(*text);
  }
}

}  // namespace dejavu
