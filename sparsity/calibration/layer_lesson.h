// What one layer's predictors learn from and are judged by: labels of every token, and for the
// tokens held out what leaving each unit out costs.
#pragma once

#include <vector>

#include "sparsity/calibration/layer_stream.h"
#include "sparsity/calibration/training_set.h"

namespace dejavu {

struct LessonShape {
  std::int64_t tokens = 0;
  std::int64_t held_out = 0;  // the last ones
  int ffn = 0;
  int groups = 0;
  bool exact_zeros = true;  // a neuron is active when its activation is not zero
  // Else, and for heads always: when it is in the smallest set that holds this share of the token's
  // squared norms of contributions.
  double neuron_share = 0.99;
  double head_share = 0.95;
};

// Labels and costs of one kind of unit.
struct UnitLesson {
  int units = 0;
  std::vector<std::uint32_t> labels;  // [tokens][mask_words(units)]
  std::vector<float> costs;           // [held_out][units]; 0 where the unit is not active
};

class LayerLesson final : public TokenSink {
 public:
  explicit LayerLesson(const LessonShape& shape);

  void look_at(const LayerContext& layer) override;
  void neurons(std::int64_t token, const float* activations) override;
  void heads(std::int64_t token, const float* context) override;

  const UnitLesson& neuron_lesson() const { return neurons_; }
  const UnitLesson& head_lesson() const { return heads_; }
  // The layer's first projection with its norm's weights: neurons' pre-activations from normalised
  // residual streams, but for the attention between. [ffn][d]
  const HostMatrix& first_projection() const { return projection_; }

 private:
  void note(std::int64_t token, const std::vector<float>& costs, double share, UnitLesson& lesson);

  LessonShape shape_;
  bool ready_ = false;
  HostMatrix projection_;
  std::vector<float> neuron_squares_;  // [ffn], of the rows of `down`
  HostMatrix out_;                     // [H*D][d]
  UnitLesson neurons_, heads_;
};

}  // namespace dejavu
