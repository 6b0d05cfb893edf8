// Recall against density for every threshold on a score, from streamed counts.
#pragma once

#include <cstdint>
#include <vector>

namespace dejavu {

class RecallCurve {
 public:
  RecallCurve() : active_(kBins), all_(kBins) {}

  void add(float score, bool active);
  bool empty() const { return total_ == 0; }

  double true_density() const;  // share of units that are active
  // Of the threshold that takes in the share `density` of all units (or the next smaller one that
  // the counts resolve): the share of active units taken in.
  double recall_at(double density) const;
  struct Point {
    double density = 1;
    float threshold = 0;
  };
  // The highest threshold with at least this recall.
  Point at_recall(double recall) const;

 private:
  static constexpr std::size_t kBins = 1 << 14;
  static constexpr float kRange = 16;  // scores beyond +-kRange share the outer bins

  std::vector<std::int64_t> active_, all_;
  std::int64_t total_active_ = 0, total_ = 0;
};

}  // namespace dejavu
