// What `dejavu analyze` finds out about a model: plain data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sparsity/analysis/foresight.h"
#include "sparsity/analysis/oracle.h"
#include "sparsity/analysis/union_density.h"

namespace dejavu {

// Densities for which recall is reported.
inline constexpr std::array<double, 5> kRecallDensities = {0.05, 0.1, 0.2, 0.3, 0.5};
// The recall a predictor is asked for in the forecast of what to expect.
inline constexpr double kWantedRecall = 0.98;

struct VantageFigures {
  std::array<double, kRecallDensities.size()> recall{};
  double density_for_wanted = 1;  // at kWantedRecall
};

struct ForesightFigures {
  double true_density = 0;
  std::array<VantageFigures, 3> vantages;  // by Vantage
};

struct LayerFindings {
  double zeros = 0;                 // share of activations that are exactly zero
  std::vector<double> head_shares;  // of the attention block's squared norms, largest group first
  double heads_for_95 = 0;          // groups that hold 95 % of them, mean over tokens
  UnionDensity unions{};            // of the neurons in use (Findings::in_use)
  std::optional<UnionDensity> predicted_unions;    // at kWantedRecall, from one sub-block before
  std::optional<ForesightFigures> neurons, heads;  // none: a layer that was not studied
  double cosine_to_mlp = 0;                        // attention input, MLP input of the same layer
  std::optional<double> cosine_to_next;            // MLP input, next layer's attention input
};

struct OraclePoint {
  enum class Units : std::uint8_t { kNeurons, kHeads, kBoth };
  Units units = Units::kNeurons;
  double asked = 1;  // share of units each token may use
  double neuron_density = 1, head_density = 1;
  double perplexity = 0;
  double agreement = 1;  // with the dense model's likeliest token
};

// What one decode step reads, as shares of the dense model's bytes.
struct Expectation {
  int batch = 1;
  double neurons_read = 1;  // lookahead, mean over layers; 1 where a predictor would not pay
  double lookahead = 1;     // weights, predictors included
  double exact = 1;         // weights, where only computed zeros are skipped
};

struct Verdict {
  bool worthwhile = false;
  double neuron_density = 1;  // smallest the oracle needs within kQualityBudget; 1: none
  double head_density = 1;    // likewise; what is expected of predictors is one group more
  std::vector<Expectation> expectations;  // batch 1, 8, 32
  std::string text;                       // one plain paragraph
};
// Rise of perplexity that the verdict lets sparsity cost.
inline constexpr double kQualityBudget = 0.01;

struct Findings {
  bool exact_zeros = false;  // the activation has them
  int windows = 0;
  std::int64_t tokens = 0;
  double dense_perplexity = 0;
  std::vector<LayerFindings> layers;
  std::vector<OraclePoint> oracle;
  double in_use = 1;  // share of neurons a token uses, as `unions` counts them
  Verdict verdict;
};

}  // namespace dejavu
