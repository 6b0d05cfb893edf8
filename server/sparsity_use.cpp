#include "server/sparsity_use.h"

namespace dejavu {

Result<SparsityChoice> resolve_sparsity(const LoadedModel& model, const SparsityWish& wish) {
  if (model.sparsity != nullptr) return model.sparsity->resolve(wish);
  if (!wish.mode.empty() && wish.mode != "auto" && wish.mode != "dense") {
    return invalid("sparsity.mode must be dense: this model is served dense only", "sparsity.mode");
  }
  if (wish.target_recall) {
    return invalid("sparsity.target_recall: this model is served dense only, without levels",
                   "sparsity.target_recall");
  }
  return SparsityChoice{};
}

SparsityStatus sparsity_status_of(const LoadedModel& model) {
  if (model.sparsity != nullptr) return model.sparsity->status();
  SparsityStatus status;
  status.allowed = {SparsityMode::kDense};
  return status;
}

void DensityMean::add(const TokenDensity& density) {
  mlp_ += density.mlp;
  heads_ += density.heads;
  detail_ = tokens_ == 0 ? density.detail : nullptr;
  ++tokens_;
}

SparsityUse DensityMean::use(SparsityMode mode) const {
  if (empty()) return {mode, 1, 1};
  return {mode, mlp_ / tokens_, heads_ / tokens_, detail_};
}

}  // namespace dejavu
