// How well a linear predictor foresees one layer's active units, from three places: the token's
// embedding alone, the residual stream one sub-block before (what lookahead has), and the very
// input of the block. Fitted on one part of the text, judged on another.
#pragma once

#include <array>

#include "sparsity/analysis/recall_curve.h"
#include "sparsity/analysis/ridge.h"

namespace dejavu {

enum class Vantage : std::uint8_t { kEmbedding, kBefore, kInput };
inline constexpr std::array<const char*, 3> kVantageNames = {"embedding", "one_block_before",
                                                             "block_input"};

// One batch of tokens as a layer sees them; all [T][d] and [T][units].
struct ForesightBatch {
  std::array<const HostMatrix*, 3> features;  // by Vantage
  HostMatrix targets;                         // what is regressed
  std::vector<std::uint8_t> active;           // [T][units]: what is to be foreseen
};

class Foresight {
 public:
  // `scaled`: targets are compared with a threshold each (pre-activations), so a forecast counts
  // in units of its error; else by its size.
  explicit Foresight(bool scaled) : scaled_(scaled) {}

  void learn(const ForesightBatch& batch, Backend& backend);
  // After the last learn(), before the first judge().
  void solve();
  // Returns the scores from kBefore, [T][units].
  HostMatrix judge(const ForesightBatch& batch, Backend& backend);

  const RecallCurve& curve(Vantage source) const {
    return curves_[static_cast<std::size_t>(source)];
  }

 private:
  bool scaled_;
  double target_sum_ = 0, target_squares_ = 0, targets_ = 0;
  std::array<Ridge, 3> models_;
  std::array<RecallCurve, 3> curves_;
};

// Rows divided by their root mean square: what predictors read.
HostMatrix rms_normalised(const HostMatrix& x);

}  // namespace dejavu
