#include "sparsity/calibration/score_curves.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dejavu {
namespace {

constexpr int kBisections = 40;
constexpr double kCheapest = 1e-12, kDearest = 1;

}  // namespace

ScoreCurves::ScoreCurves(int units)
    : units_(units), bins_(static_cast<std::size_t>(units) * kBins) {}

void ScoreCurves::add(const float* scores, const float* costs) {
  ++tokens_;
  for (int u = 0; u < units_; ++u) {
    const float place = (scores[u] - kLow) / (kHigh - kLow) * kBins;
    const int index = static_cast<int>(std::clamp(place, 0.0F, kBins - 1.0F));
    Bin& bin = bins_[static_cast<std::size_t>(u * kBins + index)];
    bin.all += 1;
    if (costs[u] <= 0) continue;
    bin.active += 1;
    bin.cost += static_cast<double>(costs[u]);
    active_ += 1;
    cost_ += static_cast<double>(costs[u]);
  }
}

ThresholdChoice ScoreCurves::choose(double price) const {
  ThresholdChoice choice;
  const double tokens = static_cast<double>(std::max<std::int64_t>(tokens_, 1));
  const double worth = price * cost_ / tokens;  // cost at which one token's unit pays
  double kept_all = 0, missed_active = 0, missed_cost = 0;
  for (int u = 0; u < units_; ++u) {
    const Bin* bins = bins_.data() + static_cast<std::size_t>(u) * kBins;
    // Leaving out the bins below an edge saves their reads and misses their costs.
    double saved = 0, best = 0, left_out = 0, active = 0, cost = 0;
    double best_left = 0, best_active = 0, best_cost = 0;
    int cut = 0;
    for (int b = 0; b < kBins; ++b) {
      left_out += static_cast<double>(bins[b].all);
      active += static_cast<double>(bins[b].active);
      cost += bins[b].cost;
      saved = left_out * worth - cost;
      if (saved < best || left_out == best_left) continue;
      best = saved;
      best_left = left_out;
      best_active = active;
      best_cost = cost;
      cut = b + 1;
    }
    const bool none = cut == kBins, all = best_left == 0;
    choice.thresholds.push_back(all    ? -std::numeric_limits<float>::infinity()
                                : none ? std::numeric_limits<float>::max()
                                       : edge(cut));
    choice.kept.push_back(static_cast<float>(1 - best_left / tokens));
    kept_all += tokens - best_left;
    missed_active += best_active;
    missed_cost += best_cost;
  }
  choice.density = kept_all / (tokens * units_);
  choice.recall = active_ > 0 ? 1 - missed_active / active_ : 1;
  choice.missed = cost_ > 0 ? missed_cost / cost_ : 0;
  return choice;
}

// The choice at the highest price that is still good.
template <class Good>
ThresholdChoice ScoreCurves::dearest(const Good& good) const {
  double low = std::log(kCheapest), high = std::log(kDearest);
  ThresholdChoice best = choose(kCheapest);
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    ThresholdChoice choice = choose(std::exp(middle));
    if (good(choice)) {
      low = middle;
      best = std::move(choice);
    } else {
      high = middle;
    }
  }
  return best;
}

ThresholdChoice ScoreCurves::choose_for_recall(double target) const {
  return dearest([target](const ThresholdChoice& choice) { return choice.recall >= target; });
}

ThresholdChoice ScoreCurves::choose_for_missed(double share) const {
  return dearest([share](const ThresholdChoice& choice) { return choice.missed <= share; });
}

double ScoreCurves::active_share() const {
  return active_ / (static_cast<double>(std::max<std::int64_t>(tokens_, 1)) * units_);
}

std::array<double, kUnionBatches.size()> union_densities(const std::vector<float>& kept) {
  std::array<double, kUnionBatches.size()> densities{};
  for (std::size_t i = 0; i < densities.size(); ++i) {
    double sum = 0;
    for (const float share : kept)
      sum += 1 - std::pow(1 - static_cast<double>(share), kUnionBatches[i]);
    densities[i] = kept.empty() ? 1 : sum / static_cast<double>(kept.size());
  }
  return densities;
}

}  // namespace dejavu
