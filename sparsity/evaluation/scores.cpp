#include "sparsity/evaluation/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dejavu {
namespace {

// Forecasts 25 to 75, and the last 51.
constexpr std::ptrdiff_t kEarlyBegin = 25;
constexpr std::ptrdiff_t kSpan = 51;

double log_sum_exp(std::span<const float> row) {
  const float top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float value : row) sum += static_cast<double>(std::exp(value - top));
  return static_cast<double>(top) + std::log(sum);
}

double mean(const std::vector<float>& values, std::ptrdiff_t begin) {
  return std::accumulate(values.begin() + begin, values.begin() + begin + kSpan, 0.0) / kSpan;
}

}  // namespace

WindowForecast forecast(std::span<const float> logits, const TokenWindow& window) {
  const std::size_t vocab = logits.size() / window.size();
  WindowForecast out;
  for (std::size_t t = 0; t + 1 < window.size(); ++t) {
    const auto row = logits.subspan(t * vocab, vocab);
    const auto next = static_cast<std::size_t>(window[t + 1]);
    out.loss.push_back(static_cast<float>(log_sum_exp(row) - static_cast<double>(row[next])));
    out.best.push_back(
        static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
  return out;
}

double kl_sum(std::span<const float> dense, std::span<const float> other, int vocab) {
  const auto width = static_cast<std::size_t>(vocab);
  double sum = 0;
  for (std::size_t begin = 0; begin + width < dense.size(); begin += width) {
    const auto p = dense.subspan(begin, width), q = other.subspan(begin, width);
    const double p_total = log_sum_exp(p), q_total = log_sum_exp(q);
    for (std::size_t i = 0; i < width; ++i) {
      const double log_p = static_cast<double>(p[i]) - p_total;
      sum += static_cast<double>(std::exp(static_cast<float>(log_p))) *
             (log_p - static_cast<double>(q[i]) + q_total);
    }
  }
  return sum;
}

void Scores::add(const WindowForecast& window, const WindowForecast& dense) {
  for (std::size_t t = 0; t < window.loss.size(); ++t) {
    loss_ += static_cast<double>(window.loss[t]);
    agreed_ += window.best[t] == dense.best[t] ? 1 : 0;
  }
  positions_ += static_cast<std::int64_t>(window.loss.size());
  if (window.loss.size() + 1 < kInContextWindow) return;
  early_ += mean(window.loss, kEarlyBegin);
  late_ += mean(window.loss, static_cast<std::ptrdiff_t>(window.loss.size()) - kSpan);
  ++in_context_windows_;
}

double Scores::perplexity() const { return std::exp(loss_ / static_cast<double>(positions_)); }
double Scores::agreement() const {
  return static_cast<double>(agreed_) / static_cast<double>(positions_);
}
double Scores::kl() const { return kl_ / static_cast<double>(positions_); }

std::optional<double> Scores::in_context_score() const {
  if (in_context_windows_ == 0) return std::nullopt;
  return (early_ - late_) / static_cast<double>(in_context_windows_);
}

}  // namespace dejavu
