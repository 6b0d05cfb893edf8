// The observations behind contextual sparsity (Liu et al. 2023), measured on any model.
#pragma once

#include <functional>
#include <span>

#include "sparsity/analysis/findings.h"
#include "sparsity/corpus.h"

namespace dejavu {

class Transformer;
class ProbedLayers;

struct AnalyzeArgs {
  Transformer& model;  // made with `layers` as its factory and window_options()
  ProbedLayers& layers;
  Backend& backend;
  std::span<const TokenWindow> windows;  // at least two; the last quarter judges predictors
};

// Called between windows: windows done of all. Each costs one dense pass and one a row of
// Findings::oracle.
using AnalysisProgress = std::function<void(int done, int total)>;

Result<Findings> analyze(const AnalyzeArgs& args, const AnalysisProgress& progress);

}  // namespace dejavu
