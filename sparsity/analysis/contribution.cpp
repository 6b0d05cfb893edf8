#include "sparsity/analysis/contribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dejavu {
namespace {

double dot(const float* a, const float* b, std::size_t count) {
  return std::inner_product(a, a + count, b, 0.0);
}

HostMatrix gram(const HostMatrix& rows, std::size_t begin, std::size_t count) {
  HostMatrix out(count, count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const auto value =
          static_cast<float>(dot(rows.row(begin + i), rows.row(begin + j), rows.cols));
      out.row(i)[j] = out.row(j)[i] = value;
    }
  }
  return out;
}

}  // namespace

void Contributions::prepare(const LayerContext& layer) {
  const auto index = static_cast<std::size_t>(layer.index);
  if (layers_.size() <= index) layers_.resize(index + 1);
  Layer& mine = layers_[index];
  if (mine.ready) return;
  const HostMatrix down = download(layer.weights.mlp.down, layer.backend);
  for (std::size_t i = 0; i < down.rows; ++i)
    mine.neuron_norms.push_back(
        static_cast<float>(std::sqrt(dot(down.row(i), down.row(i), down.cols))));
  const HostMatrix out = download(layer.weights.attention.out, layer.backend);
  const auto groups = static_cast<std::size_t>(layer.config.kv_heads);
  for (std::size_t g = 0; g < groups; ++g)
    mine.grams.push_back(gram(out, g * (out.rows / groups), out.rows / groups));
  mine.ready = true;
}

HostMatrix Contributions::neurons(int layer, const HostMatrix& hidden) const {
  const std::vector<float>& norms = layers_[static_cast<std::size_t>(layer)].neuron_norms;
  HostMatrix out(hidden.rows, hidden.cols);
  for (std::size_t t = 0; t < hidden.rows; ++t) {
    for (std::size_t i = 0; i < hidden.cols; ++i)
      out.row(t)[i] = std::abs(hidden.row(t)[i]) * norms[i];
  }
  return out;
}

HostMatrix Contributions::groups(int layer, const HostMatrix& context) const {
  const std::vector<HostMatrix>& grams = layers_[static_cast<std::size_t>(layer)].grams;
  HostMatrix out(context.rows, grams.size());
  for (std::size_t t = 0; t < context.rows; ++t) {
    for (std::size_t g = 0; g < grams.size(); ++g) {
      const std::size_t width = grams[g].rows;
      const float* slice = context.row(t) + g * width;
      double square = 0;
      for (std::size_t i = 0; i < width; ++i)
        square += static_cast<double>(slice[i]) * dot(grams[g].row(i), slice, width);
      out.row(t)[g] = static_cast<float>(std::sqrt(std::max(square, 0.0)));
    }
  }
  return out;
}

void assign_tiers(const float* contributions, std::size_t units,
                  const std::vector<std::size_t>& sizes, std::uint8_t* tiers) {
  const auto never = static_cast<std::uint8_t>(sizes.size());
  std::fill(tiers, tiers + units, never);
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < units; ++i)
    if (contributions[i] > 0) order.push_back(i);
  const auto larger = [contributions](std::uint32_t a, std::uint32_t b) {
    return contributions[a] != contributions[b] ? contributions[a] > contributions[b] : a < b;
  };
  // From the largest set inwards: each cut looks at what the one before left.
  std::size_t end = order.size();
  for (std::size_t s = sizes.size(); s-- > 0;) {
    const std::size_t size = std::min(sizes[s], end);
    if (size < end)
      std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(size),
                       order.begin() + static_cast<std::ptrdiff_t>(end), larger);
    end = size;
    for (std::size_t i = 0; i < end; ++i) tiers[order[i]] = static_cast<std::uint8_t>(s);
  }
}

}  // namespace dejavu
