// Contextual sparsity without a model: dense and lookahead are allowed, lookahead has the levels
// 0.95 (0) and 0.98 (1), and two layers have made-up figures.
#pragma once

#include "sparsity/control.h"

namespace dejavu {

class FakeSparsity final : public SparsityControl {
 public:
  Result<SparsityChoice> resolve(const SparsityWish& wish) const override;
  SparsityStatus status() const override;
};

}  // namespace dejavu
