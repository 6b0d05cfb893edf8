#include "server/load_progress.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>

namespace dejavu {
namespace {

constexpr int kBarWidth = 40;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kLogEvery{3};

}  // namespace

std::string format_bytes(std::size_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kUnits[unit]);
}

LoadProgressDisplay::LoadProgressDisplay(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1), last_(Clock::now()) {}

void LoadProgressDisplay::update(std::size_t done, std::size_t total) {
  const auto now = Clock::now();
  const bool complete = done == total;
  const bool due =
      now - last_ >= (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLogEvery));
  if (total == 0 || !(due || (terminal_ && complete))) return;
  last_ = now;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  if (!terminal_) {
    spdlog::info("{}: {:.0f} % of {}", what_, 100 * share, format_bytes(total));
    return;
  }
  const int filled = static_cast<int>(share * kBarWidth);
  std::string bar(static_cast<std::size_t>(filled), '#');
  bar.resize(kBarWidth, '.');
  std::fputs(fmt::format("\r{} [{}] {:3.0f} % of {}", what_, bar, 100 * share, format_bytes(total))
                 .c_str(),
             stderr);
  drawn_ = true;
}

void LoadProgressDisplay::finish() {
  if (drawn_) std::fputc('\n', stderr);
  drawn_ = false;
}

}  // namespace dejavu
