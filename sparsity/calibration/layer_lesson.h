// What one layer's predictors learn from and are judged by, gathered while text passes the layer.
#pragma once

#include <optional>
#include <vector>

#include "sparsity/calibration/layer_stream.h"
#include "sparsity/calibration/score_curves.h"
#include "sparsity/calibration/unit_labels.h"

namespace dejavu {

struct LessonShape {
  std::int64_t tokens = 0;
  int ffn = 0;
  int groups = 0;
  bool exact_zeros = true;  // a neuron is active when its activation is not zero
  // Else, and for heads always: when it is in the smallest set that holds this share of the token's
  // squared norms of contributions.
  double neuron_share = 0.99;
  double head_share = 0.99;
  // What the first of the tokens that are trained on show of the MLP's input.
  std::int64_t mlp_inputs = 32768;
  std::int64_t held_out = 0;  // the last tokens: cutoffs are chosen on them
};

// The layer's first projection: pre-activations = weight x + bias, of the MLP's normalised input.
struct FirstProjection {
  HostMatrix weight;        // [ffn][d]
  std::vector<float> bias;  // [ffn]
};

class LayerLesson final : public LayerSink {
 public:
  explicit LayerLesson(const LessonShape& shape);

  void heads_computed(const LayerContext& layer, int tokens) override;
  void mlp_input(const LayerContext& layer, int tokens) override;
  void neurons_computed(const LayerContext& layer, int tokens) override;

  const UnitLabels& neurons() const { return neurons_; }
  const UnitLabels& heads() const { return heads_; }
  // Of the tokens held out; a gate's score is gate_score().
  const ScoreCurves& gates() const { return gates_; }
  const FirstProjection& first_projection() const { return projection_; }
  // BF16 [at most LessonShape::mlp_inputs][d]: what the layer's first projection read.
  const std::vector<std::uint16_t>& mlp_inputs() const { return mlp_inputs_; }

 private:
  void look_at(const LayerContext& layer);
  void note(std::span<float> costs, double share, UnitLabels& labels);
  std::optional<HostMatrix> gates_of(const LayerContext& layer, int tokens);

  LessonShape shape_;
  bool ready_ = false;
  FirstProjection projection_;
  std::vector<float> neuron_squares_;  // [ffn], of the rows of `down`
  // A group's width W = heads / groups * D: products of its rows of the output projection.
  Buffer head_products_;  // compute dtype [groups][W][W]
  Buffer turned_heads_;   // F32 [tokens][H*D]: contexts times those
  Buffer gate_values_;    // compute dtype [tokens][ffn]; gated kinds
  ScoreCurves gates_;
  std::vector<std::uint16_t> mlp_inputs_;
  UnitLabels neurons_, heads_;
  std::vector<float> sorted_;
};

}  // namespace dejavu
