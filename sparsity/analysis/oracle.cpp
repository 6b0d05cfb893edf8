#include "sparsity/analysis/oracle.h"

#include <algorithm>

namespace dejavu {

void OracleSets::set_tiers(UnitKind kind, int layer, const HostMatrix& contributions,
                           const std::vector<std::size_t>& sizes) {
  auto& layers = layers_[kind == UnitKind::kHeads ? 1 : 0];
  const auto index = static_cast<std::size_t>(layer);
  if (layers.size() <= index) layers.resize(index + 1);
  Layer& mine = layers[index];
  mine.units = contributions.cols;
  mine.tiers.resize(contributions.rows * contributions.cols);
  for (std::size_t t = 0; t < contributions.rows; ++t)
    assign_tiers(contributions.row(t), mine.units, sizes, mine.tiers.data() + t * mine.units);
}

const std::uint8_t* OracleSets::tiers(UnitKind kind, int layer, std::size_t token) const {
  const Layer& mine = of(kind, layer);
  return mine.tiers.data() + token * mine.units;
}

void OracleMask::choose(int neuron_size, int head_size) {
  neurons_ = {neuron_size, 0, 0};
  heads_ = {head_size, 0, 0};
}

void OracleMask::mask(const MaskArgs& args, Count& count) {
  if (count.size == kDense) return;
  HostMatrix values = download(args.values, args.layer.backend);
  const std::size_t units = sets_.units(args.kind, args.layer.index);
  const std::size_t width = values.cols / units;
  for (std::size_t t = 0; t < values.rows; ++t) {
    const std::uint8_t* tiers = sets_.tiers(args.kind, args.layer.index, t);
    for (std::size_t i = 0; i < units; ++i) {
      if (tiers[i] <= count.size) {
        ++count.kept;
      } else {
        std::fill_n(values.row(t) + i * width, width, 0.0F);
      }
    }
  }
  count.all += static_cast<double>(values.rows * units);
  upload(values, args.values, args.layer.backend);
}

void OracleMask::heads_computed(const LayerContext& layer, int tokens) {
  mask({UnitKind::kHeads, layer, first_rows(layer.workspace.context, tokens)}, heads_);
}

void OracleMask::neurons_computed(const LayerContext& layer, int tokens) {
  mask({UnitKind::kNeurons, layer, first_rows(layer.workspace.hidden, tokens)}, neurons_);
}

}  // namespace dejavu
