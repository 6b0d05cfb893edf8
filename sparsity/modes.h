// Which sparsity choices a server offers, and which one a request gets. Immutable: any thread.
#pragma once

#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "sparsity/artifact.h"
#include "sparsity/control.h"
#include "sparsity/options.h"

namespace dejavu {

// Whether zeros come out of the activation: then kExact is possible.
bool has_exact_zeros(Activation activation);

class SparsityModes {
 public:
  // `artifact`: null when there is none. Refused: a --sparsity or --target-recall that the model
  // and its artifact do not make possible; a --sparsity that --sparsity-allow leaves out.
  static Result<SparsityModes> create(const ModelConfig& config, const Artifact* artifact,
                                      const SparsityOptions& options);

  Result<SparsityChoice> resolve(const SparsityWish& wish) const;
  const SparsityChoice& standard() const { return standard_; }
  const std::string& reason() const { return reason_; }
  const std::vector<SparsityMode>& allowed() const { return allowed_; }
  // target_recall values; empty where the mode has no levels.
  const std::vector<double>& levels(SparsityMode mode) const;

 private:
  struct Levelled {
    std::vector<double> recalls;
    int standard = -1;
  };

  Status possible(SparsityMode mode) const;
  SparsityMode automatic() const;
  Result<SparsityChoice> at_level(SparsityMode mode, std::optional<double> recall) const;
  std::string allowed_text() const;

  Activation activation_ = Activation::kRelu;
  bool has_artifact_ = false;
  SparsityMode recommended_ = SparsityMode::kDense;
  Levelled threshold_;
  Levelled lookahead_;
  std::vector<SparsityMode> allowed_;
  SparsityChoice standard_;
  std::string reason_;
};

}  // namespace dejavu
