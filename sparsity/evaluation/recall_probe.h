// Which of the units that the dense model uses a sparse one computes: the dense pass over a window
// notes them, sparse passes over the same window are held against it.
#pragma once

#include <cstdint>
#include <vector>

#include "sparsity/evaluation/probe.h"

namespace dejavu {

// One layer's part, summed over tokens.
struct LayerRecall {
  double active = 0;       // neurons that the dense model uses
  double recalled = 0;     // of these, computed
  double head_mass = 0;    // squared norms of the dense heads' outputs
  double missed_mass = 0;  // of these, in heads that were left out
};

// A neuron is in use when its activation is not zero; in a row without zeros, when it belongs to
// the fewest that hold kActiveShare of the row's squares.
class RecallProbe final : public LayerProbe {
 public:
  static constexpr double kActiveShare = 0.95;

  explicit RecallProbe(const ModelConfig& config);

  // The next pass is the dense one.
  void note_dense() { sums_ = nullptr; }
  // The next pass is held against the noted one; `sums` has an entry a layer.
  void compare(std::vector<LayerRecall>& sums) { sums_ = &sums; }
  // Spent in the probe since it was last asked.
  double take_seconds();

  void heads_computed(const LayerContext& layer, int tokens) override;
  void neurons_computed(const LayerContext& layer, int tokens) override;

 private:
  struct Layer {
    std::vector<std::uint8_t> active;  // [T][ffn]
    std::vector<double> masses;        // [T][G]
  };
  void note_neurons(const HostMatrix& hidden, Layer& layer) const;
  void note_heads(const HostMatrix& context, Layer& layer) const;

  std::size_t groups_;
  std::vector<Layer> layers_;
  std::vector<LayerRecall>* sums_ = nullptr;
  double seconds_ = 0;
};

}  // namespace dejavu
