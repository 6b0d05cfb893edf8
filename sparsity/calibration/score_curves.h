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
  // Of every unit and bin of scores: tokens there, those in which the unit is active, their costs.
  struct Counts {
    std::vector<float> all, active;  // [units][bins]
    std::vector<double> cost;
    std::int64_t tokens = 0;
  };
  explicit ScoreCurves(int units);
  // What another one had counted.
  ScoreCurves(int units, Counts counts) : units_(units), counts_(std::move(counts)) {}

  // One token: `scores` and `costs` [units]; a cost is what leaving the unit out does to the
  // residual stream (squared norm of its contribution), 0 where it is not active.
  void add(const float* scores, const float* costs);

  // Keeps a unit at a score while the expected cost of leaving it out, as a share of what a token's
  // active units cost together, is at least `price`: the cheapest set for what it misses.
  ThresholdChoice choose(double price) const;
  // Likewise, while that cost is at least `worth`.
  ThresholdChoice choose_worth(double worth) const;
  // The highest price at which recall is still `target`; cheaper by the same rule.
  ThresholdChoice choose_for_recall(double target) const;
  // Likewise, while at most `share` of the costs is missed.
  ThresholdChoice choose_for_missed(double share) const;

  // Of one unit alone.
  ScoreCurves of_unit(int unit) const;
  // What a token's active units cost together, on average.
  double mean_cost() const;
  // Changes the measure of one unit's costs.
  void scale_costs(int unit, double by);
  const Counts& counts() const { return counts_; }
  static constexpr std::size_t bytes_per_unit() {
    return kBins * (2 * sizeof(float) + sizeof(double));
  }

 private:
  static constexpr int kBins = 160;
  static constexpr float kLow = -20, kHigh = 12;
  static float edge(int bin) { return kLow + (kHigh - kLow) * static_cast<float>(bin) / kBins; }

  int units_;
  Counts counts_;
};

// Expected share of units in any of `batch` independent tokens' sets, for each of kUnionBatches.
std::array<double, kUnionBatches.size()> union_densities(const std::vector<float>& kept);

}  // namespace dejavu
