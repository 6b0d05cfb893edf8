// The figures of a running server, as status() tells them. The owner guards it.
#pragma once

#include <span>

#include "sparsity/control.h"
#include "sparsity/step_planner.h"

namespace dejavu {

class Tally {
 public:
  struct Args {
    const ModelConfig& config;
    const Artifact* artifact;  // null: none
    const std::vector<std::unique_ptr<LayerModel>>& layers;
    const SparsityModes& modes;
    std::string artifact_directory;
  };
  explicit Tally(const Args& args);

  // `densities`: one a token, filled; may be empty.
  void step(const StepFigures& figures, std::span<TokenDensity> densities);
  void audited(const AuditRecord& record, const AuditFigures& figures, double recent_error);
  // A change by the audit has taken effect. The layer's thresholds are read anew.
  void changed(const Auditor::Block& block, AuditAction action);

  const SparsityStatus& status() const { return status_; }

 private:
  // One token's densities, added up layer by layer.
  struct TokenShares {
    double mlp = 0;
    double heads = 0;
    TokenDetail detail;
    void add(double mlp_share, double head_share, bool detailed);
  };

  TokenDensity density_of(TokenShares& shares, const StepFigures& figures, int token) const;
  void read_thresholds(std::size_t layer);
  BlockStatus& block_of(int layer, AuditKind kind);

  Args args_;
  SparsityStatus status_;
  std::uint64_t events_ = 0;
};

}  // namespace dejavu
