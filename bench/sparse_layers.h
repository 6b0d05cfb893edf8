// Layers for timing the sparse modes without a trained predictor (design, section 8). In lookahead
// the real predictors, with random weights, score, compare and compact; then the step uses sets
// drawn before it: exactly k ids, uniformly without replacement, anew for each token, layer and
// step. With a ReLU kind the biases are replaced too, by +16 for the drawn neurons and -16 for the
// others, which puts every sum on its side of zero: so `exact` finds exactly k neurons that are not
// zero, and `lookahead` exactly the k active ones that it was told (none can be skipped as a zero,
// which flatters nobody). Layer 0's heads are dense, and the other layers keep so many fewer that
// the mean over all layers is the one asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/options.h"
#include "bench/random_sets.h"
#include "engine/model/layer_factory.h"
#include "sparsity/crossover.h"

namespace dejavu {

// kInline is lookahead with its predictors on the main stream, kKnown without them, as if the sets
// were known: how much of the predictors' time a step of kLookahead hides lies between the two.
enum class BenchMode : std::uint8_t { kDense, kExact, kLookahead, kInline, kKnown };
Result<BenchMode> bench_mode(const std::string& name);
inline bool looks_ahead(BenchMode mode) { return mode >= BenchMode::kLookahead; }

// What all layers share.
struct SparseBench {
  StepBenchOptions options;
  int max_tokens = 1;
  BenchMode mode = BenchMode::kDense;
  int tokens = 1;  // of the step
  std::mt19937_64 random;
  Crossover crossover;
  // What the predictors say, until the drawn sets take its place.
  Buffer predicted_words, predicted_ids, levels, scratch;
};

// One layer's predictors and sets.
struct SparseBenchLayer {
  SparseBench* bench = nullptr;
  PredictorView mlp, heads;
  RandomSets mlp_sets, head_sets;
  int groups_kept = 0;
  Buffer bias;  // [ffn]
  std::vector<float> host_bias;
  std::vector<Buffer> storage;

  bool gathers() const;  // in the step under way
};

class SparseBenchLayers final : public LayerFactory {
 public:
  SparseBenchLayers(const StepBenchOptions& options, int max_tokens);

  Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const override;
  Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const override;

  // Of every layer, in order.
  const std::vector<LayerContext>& contexts() const;

  // Measures below which union gathering pays, as a server does when it starts. Until then nothing
  // is gathered.
  Status measure_crossover();

  // Before a step of one token a sequence; draws its sets.
  void begin_step(BenchMode mode, int tokens, Backend& backend);

  // How the layers compute the step: their ops follow from this and the step's shape.
  std::vector<std::int64_t> methods() const;

  // Of the last step: shares of neurons in a token's set and in the union, and of KV groups.
  double mlp_density() const;
  double union_density() const;
  double read_density() const;  // of neurons, by the layers that were read whole too
  double head_density() const;
  std::size_t predictor_bytes() const;  // all layers

 private:
  Result<SparseBenchLayer*> layer(const LayerContext& context) const;

  // Filled while the transformer makes its layers.
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dejavu
