// The MLP with contextual sparsity: sets of neurons predicted one sub-block ahead, or zeros skipped
// after the first projection. Computes what the step's plan says; the result is the same either
// way.
#pragma once

#include "engine/model/mlp.h"
#include "sparsity/sparse_step.h"

namespace dejavu {

class SparseMlp final : public Mlp {
 public:
  explicit SparseMlp(const SparseLayer& layer) : layer_(layer) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override;
  void up(const StepBatch& batch, const ConstMatrix& normed) override;
  void down(const StepBatch& batch, const Matrix& residual) override;

 private:
  MlpUpArgs up_args(const StepBatch& batch, const ConstMatrix& normed) const;
  void gather(const MlpUpArgs& up);
  void audit(const MlpUpArgs& served, AuditRecord& record);

  SparseLayer layer_;
};

}  // namespace dejavu
