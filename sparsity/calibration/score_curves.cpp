#include "sparsity/calibration/score_curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sparsity/calibration/price.h"

namespace dejavu {

ScoreCurves::ScoreCurves(int units) : units_(units) {
  const auto bins = static_cast<std::size_t>(units) * kBins;
  counts_.all.resize(bins);
  counts_.active.resize(bins);
  counts_.cost.resize(bins);
}

void ScoreCurves::add(const float* scores, const float* costs) {
  ++counts_.tokens;
  for (int u = 0; u < units_; ++u) {
    const float place = (scores[u] - kLow) / (kHigh - kLow) * kBins;
    const int index = static_cast<int>(std::clamp(place, 0.0F, kBins - 1.0F));
    const auto bin = static_cast<std::size_t>(u * kBins + index);
    counts_.all[bin] += 1;
    if (costs[u] <= 0) continue;
    counts_.active[bin] += 1;
    counts_.cost[bin] += static_cast<double>(costs[u]);
  }
}

ScoreCurves ScoreCurves::of_unit(int unit) const {
  const auto slice = [unit](const auto& values) {
    const auto first = values.begin() + std::ptrdiff_t{unit} * kBins;
    return std::decay_t<decltype(values)>(first, first + kBins);
  };
  return {1, {slice(counts_.all), slice(counts_.active), slice(counts_.cost), counts_.tokens}};
}

double ScoreCurves::mean_cost() const {
  return std::accumulate(counts_.cost.begin(), counts_.cost.end(), 0.0) /
         static_cast<double>(std::max<std::int64_t>(counts_.tokens, 1));
}

void ScoreCurves::scale_costs(int unit, double by) {
  const auto first = counts_.cost.begin() + std::ptrdiff_t{unit} * kBins;
  std::for_each(first, first + kBins, [by](double& cost) { cost *= by; });
}

ThresholdChoice ScoreCurves::choose(double price) const {
  return choose_worth(price * mean_cost());
}

ThresholdChoice ScoreCurves::choose_worth(double worth) const {
  ThresholdChoice choice;
  const double tokens = static_cast<double>(std::max<std::int64_t>(counts_.tokens, 1));
  const double all_active = std::accumulate(counts_.active.begin(), counts_.active.end(), 0.0);
  const double all_cost = std::accumulate(counts_.cost.begin(), counts_.cost.end(), 0.0);
  double kept_all = 0, missed_active = 0, missed_cost = 0;
  for (int u = 0; u < units_; ++u) {
    const auto first = static_cast<std::size_t>(u) * kBins;
    // Leaving out the bins below an edge saves their reads and misses their costs.
    double saved = 0, best = 0, left_out = 0, active = 0, cost = 0;
    double best_left = 0, best_active = 0, best_cost = 0;
    int cut = 0;
    for (int b = 0; b < kBins; ++b) {
      const std::size_t bin = first + static_cast<std::size_t>(b);
      left_out += static_cast<double>(counts_.all[bin]);
      active += static_cast<double>(counts_.active[bin]);
      cost += counts_.cost[bin];
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
  choice.recall = all_active > 0 ? 1 - missed_active / all_active : 1;
  choice.missed = all_cost > 0 ? missed_cost / all_cost : 0;
  return choice;
}

ThresholdChoice ScoreCurves::choose_for_recall(double target) const {
  return dearest([this](double price) { return choose(price); },
                 [target](const ThresholdChoice& choice) { return choice.recall >= target; });
}

ThresholdChoice ScoreCurves::choose_for_missed(double share) const {
  return dearest([this](double price) { return choose(price); },
                 [share](const ThresholdChoice& choice) { return choice.missed <= share; });
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
