#include "sparsity/calibration/layer_lesson.h"

#include <algorithm>
#include <numeric>

namespace dejavu {
namespace {

UnitLesson empty_lesson(const LessonShape& shape, int units) {
  UnitLesson lesson;
  lesson.units = units;
  lesson.labels.resize(static_cast<std::size_t>(shape.tokens * mask_words(units)));
  lesson.costs.resize(static_cast<std::size_t>(shape.held_out * units));
  return lesson;
}

// The least cost in the smallest set that holds `share` of the sum; 0 when all are needed.
float least_of_share(const std::vector<float>& costs, double share) {
  std::vector<float> sorted = costs;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double wanted = share * std::accumulate(sorted.begin(), sorted.end(), 0.0);
  double held = 0;
  for (const float cost : sorted) {
    held += static_cast<double>(cost);
    if (held >= wanted) return cost;
  }
  return 0;
}

}  // namespace

LayerLesson::LayerLesson(const LessonShape& shape)
    : shape_(shape),
      neurons_(empty_lesson(shape, shape.ffn)),
      heads_(empty_lesson(shape, shape.groups)) {}

void LayerLesson::look_at(const LayerContext& layer) {
  if (ready_) return;
  ready_ = true;
  const MlpWeights& mlp = layer.weights.mlp;
  projection_ = download(mlp.gate.data == nullptr ? mlp.up : mlp.gate, layer.backend);
  if (const float* weight = layer.weights.mlp_norm.weight; weight != nullptr) {
    const auto width = static_cast<std::int64_t>(projection_.cols);
    const HostMatrix scale = download({weight, DType::kF32, 1, width, width}, layer.backend);
    for (std::size_t r = 0; r < projection_.rows; ++r)
      for (std::size_t c = 0; c < projection_.cols; ++c) projection_.row(r)[c] *= scale.values[c];
  }
  const HostMatrix down = download(mlp.down, layer.backend);
  for (std::size_t r = 0; r < down.rows; ++r)
    neuron_squares_.push_back(
        std::inner_product(down.row(r), down.row(r) + down.cols, down.row(r), 0.0F));
  out_ = download(layer.weights.attention.out, layer.backend);
}

void LayerLesson::note(std::int64_t token, const std::vector<float>& costs, double share,
                       UnitLesson& lesson) {
  const float least = share < 1 ? least_of_share(costs, share) : 0;
  std::uint32_t* labels = lesson.labels.data() + token * mask_words(lesson.units);
  const std::int64_t held = token - (shape_.tokens - shape_.held_out);
  for (int u = 0; u < lesson.units; ++u) {
    const float cost = costs[static_cast<std::size_t>(u)];
    if (cost <= 0 || cost < least) continue;
    labels[u / 32] |= 1U << (u % 32);
    if (held >= 0) lesson.costs[static_cast<std::size_t>(held * lesson.units + u)] = cost;
  }
}

void LayerLesson::neurons(std::int64_t token, const float* activations) {
  std::vector<float> costs(neuron_squares_.size());
  for (std::size_t i = 0; i < costs.size(); ++i)
    costs[i] = activations[i] * activations[i] * neuron_squares_[i];
  note(token, costs, shape_.exact_zeros ? 1 : shape_.neuron_share, neurons_);
}

void LayerLesson::heads(std::int64_t token, const float* context) {
  const std::size_t groups = static_cast<std::size_t>(shape_.groups);
  const std::size_t width = out_.rows / groups;
  std::vector<float> costs(groups), sum(out_.cols);
  for (std::size_t g = 0; g < groups; ++g) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    for (std::size_t i = g * width; i < (g + 1) * width; ++i)
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += context[i] * out_.row(i)[c];
    costs[g] = std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0F);
  }
  note(token, costs, shape_.head_share, heads_);
}

}  // namespace dejavu
