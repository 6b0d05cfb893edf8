#include "sparsity/analysis/recall_curve.h"

#include <algorithm>

namespace dejavu {

void RecallCurve::add(float score, bool active) {
  const float place = (score + kRange) / (2 * kRange) * static_cast<float>(kBins);
  const auto bin = static_cast<std::size_t>(std::clamp(place, 0.0F, static_cast<float>(kBins - 1)));
  ++all_[bin];
  ++total_;
  if (!active) return;
  ++active_[bin];
  ++total_active_;
}

double RecallCurve::true_density() const {
  return static_cast<double>(total_active_) /
         static_cast<double>(std::max<std::int64_t>(total_, 1));
}

double RecallCurve::recall_at(double density) const {
  const auto limit = static_cast<std::int64_t>(density * static_cast<double>(total_) + 0.5);
  std::int64_t taken = 0, found = 0;
  for (std::size_t bin = kBins; bin-- > 0;) {
    taken += all_[bin];
    if (taken > limit) break;
    found += active_[bin];
  }
  return total_active_ == 0 ? 1 : static_cast<double>(found) / static_cast<double>(total_active_);
}

RecallCurve::Point RecallCurve::at_recall(double recall) const {
  const double wanted = recall * static_cast<double>(total_active_);
  std::int64_t taken = 0, found = 0;
  std::size_t bin = kBins;
  while (bin > 0 && static_cast<double>(found) < wanted) {
    --bin;
    taken += all_[bin];
    found += active_[bin];
  }
  const float threshold = static_cast<float>(bin) / static_cast<float>(kBins) * 2 * kRange - kRange;
  return {static_cast<double>(taken) / static_cast<double>(std::max<std::int64_t>(total_, 1)),
          threshold};
}

}  // namespace dejavu
