// The dense pass of the analysis: sees every layer's inputs, heads and neurons, and hands them to
// the parts that count.
#pragma once

#include <map>

#include "sparsity/analysis/findings.h"

namespace dejavu {

struct ObserverSettings {
  OracleSizes sizes;
  bool exact_zeros = false;
  // Index into sizes: the sets that count as active where there are no exact zeros, and for heads.
  int active_neurons = 0;
  int active_heads = 0;
  std::vector<int> studied_layers;  // for foresight, ascending
  std::size_t studied_neurons = 0;  // most a layer, evenly spread
  std::size_t sample_stride = 1;    // tokens between those whose sets are kept for unions
};

class Observer final : public LayerProbe {
 public:
  Observer(const ModelConfig& config, ObserverSettings settings);

  // What the passes until the next call are for.
  enum class Phase : std::uint8_t { kLearn, kJudge };
  void begin(Phase phase);

  const OracleSets& sets() const { return sets_; }
  // Fills the layers' figures. `neuron_size`: the oracle size whose sets unions are made of.
  void report(int neuron_size, Findings& findings) const;

  void attention_input(const LayerContext& layer, int tokens) override;
  void heads_computed(const LayerContext& layer, int tokens) override;
  void mlp_input(const LayerContext& layer, int tokens) override;
  void neurons_computed(const LayerContext& layer, int tokens) override;

 private:
  struct Layer {
    double zeros = 0, activations = 0;
    std::vector<double> head_shares;
    double heads_for_95 = 0;
    double cosine_to_mlp = 0, cosine_to_next = 0;
    double tokens = 0;
    std::vector<std::uint8_t> sampled_tiers;  // [samples][ffn]
    std::optional<Foresight> neurons, heads;  // studied layers; heads not in layer 0
    HostMatrix judged_scores;                 // sampled held-out tokens, kBefore
  };
  Layer& at(const LayerContext& layer) { return layers_[static_cast<std::size_t>(layer.index)]; }
  void count_heads(const HostMatrix& norms, Layer& layer) const;
  HostMatrix neuron_targets(const LayerContext& layer, const HostMatrix& contributions,
                            int tokens) const;
  void foresee(Foresight& foresight, const ForesightBatch& batch, Layer* keep,
               Backend& backend) const;
  std::vector<std::size_t> neuron_sample() const;
  UnionDensity true_unions(const Layer& layer, int neuron_size) const;

  const ModelConfig& config_;
  ObserverSettings settings_;
  Phase phase_ = Phase::kLearn;
  Contributions contributions_;
  OracleSets sets_;
  std::vector<Layer> layers_;
  // Of the current window; streams are divided by their rms.
  HostMatrix embedding_, attention_stream_, mlp_stream_, attention_normed_, mlp_normed_;
};

}  // namespace dejavu
