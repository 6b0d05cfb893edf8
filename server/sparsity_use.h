// What of contextual sparsity a request asks for and was given.
#pragma once

#include <memory>

#include "engine/core/result.h"
#include "engine/model/sparsity_choice.h"
#include "server/generation_service.h"
#include "server/loaded_model.h"

namespace dejavu {

// The choice that the model's runtime makes of a wish; without a runtime there is dense only.
Result<SparsityChoice> resolve_sparsity(const LoadedModel& model, const SparsityWish& wish);

SparsityStatus sparsity_status_of(const LoadedModel& model);

// Sums up densities, token by token.
class DensityMean {
 public:
  void add(const TokenDensity& density);
  bool empty() const { return tokens_ == 0; }
  SparsityUse use(SparsityMode mode) const;  // of no tokens: density 1

 private:
  double mlp_ = 0;
  double heads_ = 0;
  int tokens_ = 0;
  std::shared_ptr<const TokenDetail> detail_;  // of the only token
};

}  // namespace dejavu
