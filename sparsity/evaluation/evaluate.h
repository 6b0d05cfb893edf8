// What each sparsity mode costs in quality, through the same layers as serving.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/step_sparsity.h"
#include "sparsity/control.h"
#include "sparsity/corpus.h"

namespace dejavu {

class Backend;
class ProbedLayers;
class Transformer;

// One way to compute every token of every window: a row of the result.
struct EvaluationChoice {
  SparsityChoice choice;
  double target_recall = 0;  // 0: the mode has none
};

struct EvaluatedLayer {
  double mlp_density = 1;
  double head_density = 1;
  double recall = 1;          // of the neurons that the dense model uses
  double head_mass_kept = 1;  // share of the dense heads' squared norms
};

struct EvaluationRow {
  SparsityMode mode = SparsityMode::kDense;
  double target_recall = 0;
  double perplexity = 0;
  double agreement = 1;                      // positions with the dense model's likeliest token
  double kl = 0;                             // KL(dense || this), nats a position
  std::optional<double> in_context_score;    // none: windows are too short
  double mlp_density = 1, head_density = 1;  // means over tokens and layers
  double recall = 1;                         // mean over layers
  double tokens_per_second = 0;              // of whole windows, prompt-like; not decoding speed
  std::vector<EvaluatedLayer> layers;
};

struct EvaluateArgs {
  Transformer& model;  // made with `layers` as its factory and window_options()
  ProbedLayers& layers;
  Backend& backend;
  StepSparsity& sparsity;
  const SparsityControl& control;
  std::span<const TokenWindow> windows;
};

// A row for dense, which is computed in any case, and one for each choice. `progress` gets the runs
// done and their number: one for each window and row, and a last call.
Result<std::vector<EvaluationRow>> evaluate(const EvaluateArgs& args,
                                            std::span<const EvaluationChoice> choices,
                                            const std::function<void(int, int)>& progress);

}  // namespace dejavu
