#include "sparsity/evaluation/recall_probe.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

namespace dejavu {
namespace {

class Timer {
 public:
  explicit Timer(double& seconds) : seconds_(seconds) {}
  ~Timer() {
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double square_sum(const float* values, std::size_t count) {
  return std::inner_product(values, values + count, values, 0.0);
}

void mark_largest(const float* row, std::size_t count, std::uint8_t* active) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [row](std::size_t a, std::size_t b) { return row[a] * row[a] > row[b] * row[b]; });
  const double wanted = RecallProbe::kActiveShare * square_sum(row, count);
  double held = 0;
  for (const std::size_t i : order) {
    if (held >= wanted) break;
    held += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    active[i] = 1;
  }
}

}  // namespace

RecallProbe::RecallProbe(const ModelConfig& config)
    : groups_(static_cast<std::size_t>(config.kv_heads)),
      layers_(static_cast<std::size_t>(config.layers)) {}

double RecallProbe::take_seconds() { return std::exchange(seconds_, 0.0); }

void RecallProbe::note_neurons(const HostMatrix& hidden, Layer& layer) const {
  layer.active.assign(hidden.values.size(), 0);
  for (std::size_t t = 0; t < hidden.rows; ++t) {
    const float* row = hidden.row(t);
    std::uint8_t* active = layer.active.data() + t * hidden.cols;
    if (std::find(row, row + hidden.cols, 0.0F) == row + hidden.cols) {
      mark_largest(row, hidden.cols, active);
    } else {
      std::transform(row, row + hidden.cols, active,
                     [](float v) { return static_cast<std::uint8_t>(v != 0.0F ? 1 : 0); });
    }
  }
}

void RecallProbe::note_heads(const HostMatrix& context, Layer& layer) const {
  const std::size_t width = context.cols / groups_;
  layer.masses.resize(context.rows * groups_);
  for (std::size_t t = 0; t < context.rows; ++t)
    for (std::size_t g = 0; g < groups_; ++g)
      layer.masses[t * groups_ + g] = square_sum(context.row(t) + g * width, width);
}

void RecallProbe::heads_computed(const LayerContext& layer, int tokens) {
  const Timer timer(seconds_);
  const HostMatrix context = download(first_rows(layer.workspace.context, tokens), layer.backend);
  const auto index = static_cast<std::size_t>(layer.index);
  if (sums_ == nullptr) return note_heads(context, layers_[index]);
  LayerRecall& sum = (*sums_)[index];
  const std::size_t width = context.cols / groups_;
  for (std::size_t t = 0; t < context.rows; ++t) {
    for (std::size_t g = 0; g < groups_; ++g) {
      const double mass = layers_[index].masses[t * groups_ + g];
      sum.head_mass += mass;
      if (square_sum(context.row(t) + g * width, width) == 0) sum.missed_mass += mass;
    }
  }
}

void RecallProbe::neurons_computed(const LayerContext& layer, int tokens) {
  const Timer timer(seconds_);
  const HostMatrix hidden = download(first_rows(layer.workspace.hidden, tokens), layer.backend);
  const auto index = static_cast<std::size_t>(layer.index);
  if (sums_ == nullptr) return note_neurons(hidden, layers_[index]);
  LayerRecall& sum = (*sums_)[index];
  const std::vector<std::uint8_t>& active = layers_[index].active;
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (active[i] == 0) continue;
    ++sum.active;
    if (hidden.values[i] != 0.0F) ++sum.recalled;
  }
}

}  // namespace dejavu
