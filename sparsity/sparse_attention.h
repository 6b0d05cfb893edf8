// Attention over each token's own set of KV groups, predicted one sub-block ahead. K and V of every
// head are stored; a group that is out reads no KV and, in a step of one token, neither its Q rows
// nor its rows of the output projection.
#pragma once

#include "engine/model/attention.h"
#include "sparsity/sparse_step.h"

namespace dejavu {

class SparseAttention final : public Attention {
 public:
  explicit SparseAttention(const SparseLayer& layer) : layer_(layer) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override;
  void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) override;
  void project(const StepBatch& batch, const Matrix& residual) override;

 private:
  int group_rows() const;  // of Q and of the output projection, of one KV group
  void audit_query(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache);
  void audit_heads(const StepBatch& batch, const KvView& cache);
  void audit_output(AuditRecord& record);

  SparseLayer layer_;
};

}  // namespace dejavu
