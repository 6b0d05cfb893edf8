// How well a model foresees text: sums over windows, and how close two models' forecasts are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sparsity/corpus.h"

namespace dejavu {

// One window's forecasts: position t foresees token t + 1, the last one nothing.
struct WindowForecast {
  std::vector<float> loss;         // nats
  std::vector<std::int32_t> best;  // the likeliest token; the first of equals
};

// `logits`: [window.size()][vocab].
WindowForecast forecast(std::span<const float> logits, const TokenWindow& window);

// KL(dense || other) in nats, summed over the positions that foresee a token.
double kl_sum(std::span<const float> dense, std::span<const float> other, int vocab);

class Scores {
 public:
  // `dense`: the reference's forecast of the same window.
  void add(const WindowForecast& window, const WindowForecast& dense);
  void add_kl(double sum) { kl_ += sum; }

  std::int64_t positions() const { return positions_; }
  double perplexity() const;
  double agreement() const;  // share of positions with the reference's likeliest token
  double kl() const;         // nats a position
  // Mean loss around the 50th token minus mean loss at the window's end, over windows of at least
  // kInContextWindow tokens (after Olsson et al. 2022); none without such a window.
  std::optional<double> in_context_score() const;

  static constexpr std::size_t kInContextWindow = 256;

 private:
  std::int64_t positions_ = 0;
  std::int64_t agreed_ = 0;
  double loss_ = 0;
  double kl_ = 0;
  double early_ = 0, late_ = 0;
  std::int64_t in_context_windows_ = 0;
};

}  // namespace dejavu
