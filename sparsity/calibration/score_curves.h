// How much of what matters each threshold keeps, one histogram of scores a unit; and the choice of
// a threshold for every unit.
#pragma once

#include <array>
#include <vector>

#include "sparsity/artifact.h"

namespace dejavu {

// What a layer keeps with the chosen thresholds.
struct ThresholdChoice {
  std::vector<float> thresholds;  // [units]
  std::vector<float> kept;        // [units]: share of tokens for which the unit is in the set
  double density = 1;
  double recall = 1;
  double missed = 0;  // share of the costs of all active units
};

class ScoreCurves {
 public:
  explicit ScoreCurves(int units);

  // One token: `scores` and `costs` [units]; a cost is what leaving the unit out does to the
  // residual stream (squared norm of its contribution), 0 where it is not active.
  void add(const float* scores, const float* costs);

  // Keeps a unit at a score while the expected cost of leaving it out, as a share of what a token's
  // active units cost together, is at least `price`: the cheapest set for what it misses.
  ThresholdChoice choose(double price) const;
  // The highest price at which recall is still `target`; cheaper by the same rule.
  ThresholdChoice choose_for_recall(double target) const;

  // Likewise, while at most `share` of the costs is missed.
  ThresholdChoice choose_for_missed(double share) const;

  double active_share() const;
  std::int64_t tokens() const { return tokens_; }

 private:
  template <class Good>
  ThresholdChoice dearest(const Good& good) const;

  static constexpr int kBins = 160;
  static constexpr float kLow = -20, kHigh = 12;
  struct Bin {
    float all = 0, active = 0;
    double cost = 0;
  };
  static float edge(int bin) { return kLow + (kHigh - kLow) * static_cast<float>(bin) / kBins; }

  int units_;
  std::int64_t tokens_ = 0;
  double active_ = 0, cost_ = 0;
  std::vector<Bin> bins_;  // [units][kBins]
};

// Expected share of units in any of `batch` independent tokens' sets, for each of kUnionBatches.
std::array<double, kUnionBatches.size()> union_densities(const std::vector<float>& kept);

}  // namespace dejavu
