#include "sparsity/analysis/foresight.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dejavu {

HostMatrix rms_normalised(const HostMatrix& x) {
  constexpr double kTiny = 1e-12;
  HostMatrix out(x.rows, x.cols);
  for (std::size_t r = 0; r < x.rows; ++r) {
    const float* row = x.row(r);
    const double square = std::inner_product(row, row + x.cols, row, 0.0);
    const auto scale =
        static_cast<float>(1 / std::sqrt(square / static_cast<double>(x.cols) + kTiny));
    std::transform(row, row + x.cols, out.row(r), [scale](float v) { return v * scale; });
  }
  return out;
}

void Foresight::learn(const ForesightBatch& batch, Backend& backend) {
  for (std::size_t s = 0; s < models_.size(); ++s)
    models_[s].add(*batch.features[s], batch.targets, backend);
  for (const float value : batch.targets.values) {
    target_sum_ += static_cast<double>(value);
    target_squares_ += static_cast<double>(value) * static_cast<double>(value);
  }
  targets_ += static_cast<double>(batch.targets.values.size());
}

void Foresight::solve() {
  for (Ridge& model : models_) model.solve();
}

HostMatrix Foresight::judge(const ForesightBatch& batch, Backend& backend) {
  const double mean = target_sum_ / targets_;
  const double spread = std::sqrt(std::max(target_squares_ / targets_ - mean * mean, 1e-20));
  HostMatrix before;
  for (std::size_t s = 0; s < models_.size(); ++s) {
    HostMatrix scores = models_[s].forecast(*batch.features[s], backend);
    for (std::size_t i = 0; i < scores.values.size(); ++i) {
      const float deviation = models_[s].deviations()[i % scores.cols];
      float& score = scores.values[i];
      score = scaled_ ? score / std::max(deviation, 1e-20F)
                      : (score - static_cast<float>(mean)) / static_cast<float>(spread);
      curves_[s].add(score, batch.active[i] != 0);
    }
    if (s == static_cast<std::size_t>(Vantage::kBefore)) before = std::move(scores);
  }
  return before;
}

}  // namespace dejavu
