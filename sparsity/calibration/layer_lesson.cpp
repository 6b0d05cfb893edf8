#include "sparsity/calibration/layer_lesson.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/model/dense_mlp.h"
#include "sparsity/calibration/gate_levels.h"

namespace dejavu {
namespace {

std::vector<float> download_bias(const float* bias, std::size_t size, Backend& backend) {
  if (bias == nullptr) return std::vector<float>(size);
  const auto width = static_cast<std::int64_t>(size);
  return download({bias, DType::kF32, 1, width, width}, backend).values;
}

std::vector<float> row_squares(const HostMatrix& matrix) {
  std::vector<float> squares;
  for (std::size_t r = 0; r < matrix.rows; ++r)
    squares.push_back(
        std::inner_product(matrix.row(r), matrix.row(r) + matrix.cols, matrix.row(r), 0.0F));
  return squares;
}

}  // namespace

LayerLesson::LayerLesson(const LessonShape& shape)
    : shape_(shape), gates_(shape.ffn), neurons_(shape.ffn), heads_(shape.groups) {
  neurons_.reserve(shape.tokens);
  heads_.reserve(shape.tokens);
}

void LayerLesson::look_at(const LayerContext& layer) {
  if (ready_) return;
  ready_ = true;
  const MlpWeights& mlp = layer.weights.mlp;
  const bool gated = mlp.gate.data != nullptr;
  projection_.weight = download(gated ? mlp.gate : mlp.up, layer.backend);
  projection_.bias =
      download_bias(gated ? mlp.gate_bias : mlp.up_bias, projection_.weight.rows, layer.backend);
  neuron_squares_ = row_squares(download(mlp.down, layer.backend));

  const HostMatrix out = download(layer.weights.attention.out, layer.backend);
  const std::size_t width = out.rows / static_cast<std::size_t>(shape_.groups);
  const DType dtype = layer.workspace.context.dtype;
  std::vector<std::byte> products(out.rows * width * dtype_size(dtype));
  for (std::size_t r = 0; r < out.rows; ++r)
    for (std::size_t i = 0; i < width; ++i)
      store_element(products.data(), dtype, r * width + i,
                    std::inner_product(out.row(r), out.row(r) + out.cols,
                                       out.row(r / width * width + i), 0.0F));
  auto memory = layer.backend.allocate(products.size());
  auto turned = layer.backend.allocate(static_cast<std::size_t>(layer.workspace.context.rows) *
                                       out.rows * sizeof(float));
  if (!memory || !turned) return;  // heads then cost nothing, and all come out dense
  head_products_ = std::move(*memory);
  turned_heads_ = std::move(*turned);
  layer.backend.upload(head_products_.data(), products.data(), products.size(), StreamId::kMain);
  static_cast<void>(layer.backend.synchronize(StreamId::kMain));
}

// Marks the units that cost something, or, with a share, the smallest set that holds it.
void LayerLesson::note(std::span<float> costs, double share, UnitLabels& labels) {
  if (share < 1) {
    sorted_.assign(costs.begin(), costs.end());
    std::sort(sorted_.begin(), sorted_.end(), std::greater<>());
    const double wanted = share * std::accumulate(sorted_.begin(), sorted_.end(), 0.0);
    double held = 0;
    std::size_t last = 0;
    while (last < sorted_.size() && held < wanted) held += static_cast<double>(sorted_[last++]);
    const float least = last == 0 ? 0.0F : sorted_[last - 1];
    for (float& cost : costs)
      if (cost < least) cost = 0;
  }
  labels.add(costs);
}

// A group's squared norm after its rows O of the output projection is c O O^T c^T.
void LayerLesson::heads_computed(const LayerContext& layer, int tokens) {
  look_at(layer);
  if (turned_heads_.data() == nullptr) return;
  const Matrix context = first_rows(layer.workspace.context, tokens);
  const auto groups = static_cast<std::size_t>(shape_.groups);
  const auto width = static_cast<std::size_t>(context.cols) / groups;
  const auto columns = static_cast<std::int64_t>(width);
  const std::size_t element = dtype_size(context.dtype);
  const Matrix turned{turned_heads_.data(), DType::kF32, tokens, context.cols, context.cols};
  for (std::size_t g = 0; g < groups; ++g) {
    LinearArgs args;
    args.x = {static_cast<const std::byte*>(context.data) + g * width * element, context.dtype,
              tokens, columns, context.stride};
    args.w = {head_products_.as<std::byte>() + g * width * width * element, context.dtype, columns,
              columns, columns};
    args.y = {turned_heads_.as<float>() + g * width, DType::kF32, tokens, columns, context.cols};
    layer.backend.linear(args, StreamId::kMain);
  }
  const HostMatrix before = download(context, layer.backend);
  const HostMatrix after = download(turned, layer.backend);
  std::vector<float> costs(groups);
  for (std::size_t t = 0; t < before.rows; ++t) {
    for (std::size_t g = 0; g < groups; ++g) {
      const float* from = before.row(t) + g * width;
      costs[g] =
          std::max(0.0F, std::inner_product(from, from + width, after.row(t) + g * width, 0.0F));
    }
    note(costs, shape_.head_share, heads_);
  }
}

void LayerLesson::mlp_input(const LayerContext& layer, int tokens) {
  const auto width = static_cast<std::size_t>(layer.workspace.normed.cols);
  const std::size_t held = mlp_inputs_.size() / width;
  const std::size_t room = static_cast<std::size_t>(shape_.mlp_inputs) - held;
  const auto rows = std::min(static_cast<std::int64_t>(room), std::int64_t{tokens});
  if (rows == 0) return;
  const HostMatrix normed = download(first_rows(layer.workspace.normed, rows), layer.backend);
  for (const float value : normed.values) mlp_inputs_.push_back(float_to_bf16(value));
}

// What cutoffs are compared with: the activations, without the other factor of gated kinds.
std::optional<HostMatrix> LayerLesson::gates_of(const LayerContext& layer, int tokens) {
  const Matrix hidden = first_rows(layer.workspace.hidden, tokens);
  MlpUpArgs args = mlp_up_args(layer, first_rows(layer.workspace.normed, tokens), hidden);
  if (args.gate.data == nullptr) return download(hidden, layer.backend);
  if (gate_values_.data() == nullptr) {
    const auto count = static_cast<std::size_t>(layer.workspace.hidden.rows * hidden.cols);
    auto memory = layer.backend.allocate(count * dtype_size(hidden.dtype));
    if (!memory) return {};  // cutoffs then leave nothing out
    gate_values_ = std::move(*memory);
  }
  args.up = std::exchange(args.gate, {});
  args.up_bias = std::exchange(args.gate_bias, nullptr);
  args.h = {gate_values_.data(), hidden.dtype, tokens, hidden.cols, hidden.cols};
  layer.backend.mlp_up(args, StreamId::kMain);
  return download(args.h, layer.backend);
}

void LayerLesson::neurons_computed(const LayerContext& layer, int tokens) {
  HostMatrix hidden = download(first_rows(layer.workspace.hidden, tokens), layer.backend);
  const std::int64_t held_out = shape_.tokens - shape_.held_out;
  std::optional<HostMatrix> gates;
  if (neurons_.tokens() + tokens > held_out) gates = gates_of(layer, tokens);
  for (std::size_t t = 0; t < hidden.rows; ++t) {
    float* row = hidden.row(t);
    for (std::size_t i = 0; i < hidden.cols; ++i) row[i] *= row[i] * neuron_squares_[i];
    note({row, hidden.cols}, shape_.exact_zeros ? 1 : shape_.neuron_share, neurons_);
    if (!gates || neurons_.tokens() <= held_out) continue;
    float* scores = gates->row(t);
    std::transform(scores, scores + gates->cols, scores, gate_score);
    gates_.add(scores, row);
  }
}

}  // namespace dejavu
