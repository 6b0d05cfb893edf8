// Contextual sparsity under an oracle that knows the true set, in two passes over each window: the
// dense one ranks every token's units by contribution, later ones keep the largest only.
#pragma once

#include <cstdint>
#include <vector>

#include "sparsity/analysis/contribution.h"
#include "sparsity/evaluation/probe.h"

namespace dejavu {

enum class UnitKind : std::uint8_t { kNeurons, kHeads };

// Set sizes to try, as counts of units, ascending.
struct OracleSizes {
  std::vector<std::size_t> neurons;
  std::vector<std::size_t> heads;
};

// The tiers (assign_tiers) of every unit of every layer and token of one window.
class OracleSets {
 public:
  void set_tiers(UnitKind kind, int layer, const HostMatrix& contributions,
                 const std::vector<std::size_t>& sizes);
  const std::uint8_t* tiers(UnitKind kind, int layer, std::size_t token) const;
  std::size_t units(UnitKind kind, int layer) const { return of(kind, layer).units; }

 private:
  struct Layer {
    std::size_t units = 0;
    std::vector<std::uint8_t> tiers;  // [T][units]
  };
  const Layer& of(UnitKind kind, int layer) const {
    return layers_[kind == UnitKind::kHeads ? 1 : 0][static_cast<std::size_t>(layer)];
  }
  std::vector<Layer> layers_[2];
};

// The later passes: zeroes what lies outside the sets of the chosen sizes.
class OracleMask final : public LayerProbe {
 public:
  explicit OracleMask(const OracleSets& sets) : sets_(sets) {}

  static constexpr int kDense = -1;
  // Indices into the sizes; kDense: every unit. Resets the counts.
  void choose(int neuron_size, int head_size);
  // Share of units kept since choose(), mean over layers.
  double neuron_density() const { return density(neurons_); }
  double head_density() const { return density(heads_); }

  void heads_computed(const LayerContext& layer, int tokens) override;
  void neurons_computed(const LayerContext& layer, int tokens) override;

 private:
  struct Count {
    int size = kDense;
    double kept = 0, all = 0;
  };
  static double density(const Count& count) { return count.all > 0 ? count.kept / count.all : 1; }
  struct MaskArgs {
    UnitKind kind;
    const LayerContext& layer;
    Matrix values;  // [T][units * width]
  };
  void mask(const MaskArgs& args, Count& count);

  const OracleSets& sets_;
  Count neurons_, heads_;
};

}  // namespace dejavu
