// What a server asks of contextual sparsity: which choice a request gets, and how it goes. Every
// method may be called from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "engine/model/sparsity_choice.h"

namespace dejavu {

// One layer's MLP (units: neurons) or attention (units: KV groups).
struct BlockStatus {
  SparsityMode mode = SparsityMode::kDense;  // by default: kDense where artifact or audit say so
  double density = 1;                        // expected at the default level, from the artifact
  double recall = 1;                         // likewise, measured on held-out text
  // The default level's score thresholds (kThreshold: the cutoff), least and greatest unit; 0 for
  // a dense block.
  double threshold_low = 0;
  double threshold_high = 0;

  // Counts since start, over tokens computed in a sparse mode.
  std::uint64_t selected_units = 0;   // in the tokens' sets
  std::uint64_t candidate_units = 0;  // tokens × units
  // Steps by how the block was computed (policy.h); a dense block counts as dense only.
  std::uint64_t gather_steps = 0;
  std::uint64_t skip_zero_steps = 0;
  std::uint64_t whole_read_steps = 0;
  std::uint64_t dense_steps = 0;

  // Audit, since start.
  std::uint64_t audits = 0;
  std::uint64_t audit_active_units = 0;    // truly active, in audited tokens
  std::uint64_t audit_recalled_units = 0;  // of these, in the set
  double audit_error_sum = 0;              // relative error of the block's output, over audits
  double audit_missed_mass_sum = 0;        // share of squared contributions left out, over audits
  double audit_error = 0;                  // as the limit sees it: recent audits' median
  int widened = 0;                         // times the thresholds were lowered
  bool fallen_back = false;                // made dense until restart
};

struct LayerStatus {
  BlockStatus mlp;
  BlockStatus heads;
};

// A change the audit made, for the log.
struct SparsityEvent {
  std::uint64_t number = 0;  // 1, 2, 3, … since start
  std::string message;
};

struct SparsityStatus {
  SparsityMode mode = SparsityMode::kDense;  // of requests that ask for none
  double target_recall = 0;                  // its level; 0: the mode has none
  std::string reason;                        // why this mode, in one sentence
  std::vector<SparsityMode> allowed;         // what a request may choose
  std::vector<double> lookahead_levels;      // target_recall values of the artifact
  std::vector<double> threshold_levels;
  std::string artifact;  // its folder; empty: none
  std::vector<LayerStatus> layers;
  // Computing predictions, since start, and how much of it ran beside other work. On an
  // asynchronous backend estimated from the steps that were audited.
  double predictor_seconds = 0;
  double overlapped_seconds = 0;
  std::vector<SparsityEvent> events;  // the latest few, oldest first
  std::vector<TokenAudit> audits;     // likewise
};

// A request's `sparsity`; what it leaves out is the server's default.
struct SparsityWish {
  std::string mode;  // "", auto, dense, exact, threshold, lookahead
  std::optional<double> target_recall;
};

class SparsityControl {
 public:
  SparsityControl() = default;
  SparsityControl(const SparsityControl&) = delete;
  SparsityControl& operator=(const SparsityControl&) = delete;
  virtual ~SparsityControl() = default;

  // INVALID_ARGUMENT, naming what is allowed: a mode that is unknown, not possible or not in
  // --sparsity-allow; a target_recall that is no level, or with a mode that has none.
  virtual Result<SparsityChoice> resolve(const SparsityWish& wish) const = 0;
  virtual SparsityStatus status() const = 0;
};

}  // namespace dejavu
