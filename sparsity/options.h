// What the daemon is told about contextual sparsity, filled in by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dejavu {

// `auto`: what the artifact says is worth it; without one, exact where it applies, else dense.
enum class SparsityDefault : std::uint8_t { kAuto, kDense, kExact, kThreshold, kLookahead };

struct SparsityOptions {
  SparsityDefault mode = SparsityDefault::kAuto;
  std::vector<std::string> allow;  // modes a request may choose; empty: every one that is possible
  std::string artifact_directory;  // empty: MODEL/sparsity, when it is there
  double target_recall = 0;        // a level of the artifact; 0: the artifact's own default
  // A layer is gathered only while the expected union density stays at or below this.
  double max_density = 1.0;
  // Predictors between the main stream's other work instead of beside it.
  bool inline_predictors = false;
  int audit_interval = 64;         // steps between audits; 0: none
  double audit_error_limit = 0.2;  // relative error of a layer's output
};

}  // namespace dejavu
