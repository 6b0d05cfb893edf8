// Runs windows of text through a transformer, each as a sequence of its own, computed in one step.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv/kv_cache.h"
#include "engine/model/step_sparsity.h"
#include "engine/model/transformer.h"
#include "sparsity/corpus.h"

namespace dejavu {

// What a transformer needs to be driven by a WindowRunner.
TransformerOptions window_options(int longest_window);

class WindowRunner {
 public:
  // Both must outlive the runner.
  static Result<std::unique_ptr<WindowRunner>> create(Transformer& model, Backend& backend,
                                                      int longest_window);

  // Called around the layers of a step; `sparsity` may be null.
  void attach(StepSparsity* sparsity) { sparsity_ = sparsity; }

  // Computes every token of the window as `choice` says. Logits of every token, [tokens][vocab],
  // host, valid until the next call.
  Result<std::span<const float>> run(const TokenWindow& window, const SparsityChoice& choice);

  // The step of one window, for who runs it layer by layer over cache(); valid until the next call.
  StepBatch make_batch(const TokenWindow& window, const SparsityChoice& choice);
  const KvCache& cache() const { return cache_; }

  // Of the last run, one a token; dense without a StepSparsity.
  std::span<const TokenDensity> densities() const { return densities_; }

  int vocab() const { return model_.config().vocab_size; }

 private:
  WindowRunner(Transformer& model, Backend& backend) : model_(model), backend_(backend) {}

  Transformer& model_;
  Backend& backend_;
  StepSparsity* sparsity_ = nullptr;
  KvCache cache_;
  Buffer metadata_;
  std::vector<float> logits_;
  std::vector<SparsityChoice> choices_;  // of the batch made last
  std::vector<TokenDensity> densities_;
};

}  // namespace dejavu
