// The audit (design, section 5): now and then, for one block of one layer and one token, the dense
// result is computed beside the served one and compared. A block whose error stays above the limit
// is widened, at most twice, then made dense. Engine thread only.
//
// A verdict is never taken back, and of a good block one audit in six may be over the limit on
// ordinary text. So it is a sequential test (after Wald, 1945): an audit over the limit makes the
// block a suspect, which is looked at again and again, one point up for each audit over the limit
// and one down for each under it, until it is cleared at none or convicted at kConvict. A block
// that is over in one audit of six is convicted once in two million suspicions, one that always is
// in kConvict audits.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/dtype.h"

namespace dejavu {

enum class AuditKind : std::uint8_t {
  kNeurons,  // predicted sets of neurons
  kHeads,    // predicted sets of KV groups
  kCutoffs,  // thresholds on activations
};
inline constexpr int kAuditKinds = 3;

// One audit: what to look at, and what came back, as the served and the dense row.
struct AuditRecord {
  int layer = 0;
  AuditKind kind = AuditKind::kNeurons;
  int token = 0;
  // Uploaded to SparseMemory::audit_index: the token twice, its cutoff level and none, and where
  // the queries of a step of one token begin and end.
  std::array<std::int32_t, 6> index{};

  DType dtype = DType::kF32;
  int units = 0;  // neurons or groups, each of unit_width elements of a row
  int unit_width = 1;
  std::vector<std::byte> parts;  // dtype [2][units * unit_width]: before the output projection
  std::vector<float> out;        // [2][d]
};

struct AuditFigures {
  int active = 0;             // units that the dense row needs: those that are not zero or, where
                              // none is, the fewest that hold kActiveShare of its squares
  int recalled = 0;           // of these, in the served row
  double missed_mass = 0;     // share of the dense row's squares in units that were left out
  double relative_error = 0;  // |served - dense| / |dense| of the output
  double recall() const { return active > 0 ? static_cast<double>(recalled) / active : 1; }
};
AuditFigures judge(const AuditRecord& record);

enum class AuditAction : std::uint8_t { kNone, kWiden, kMakeDense };

// Decides what to audit and what follows from it.
class Auditor {
 public:
  static constexpr int kConvict = 10;
  static constexpr int kMostWidened = 2;

  struct Options {
    int interval = 64;  // steps; 0: no audits
    double error_limit = 0.2;
  };
  struct Block {
    int layer = 0;
    AuditKind kind = AuditKind::kNeurons;
    bool operator==(const Block&) const = default;
  };

  Auditor(const Options& options, int layers);

  // Once a sparse step: true when one is due.
  bool due();
  // Which of the blocks that are sparse in this step: a suspect first, else the next in turn.
  // Empty: none, and it stays due.
  std::optional<Block> choose(const std::vector<Block>& blocks);
  AuditAction judged(const Block& block, double relative_error);

  int widened(const Block& block) const { return health(block).widened; }
  bool dense(const Block& block) const { return health(block).dense; }
  // Median error of the latest audits, kConvict at most. Not their mean: a token of which a block
  // makes little has a large relative error, and means nothing to the text.
  double recent_error(const Block& block) const;

 private:
  struct Health {
    std::vector<double> recent;
    int points = 0;  // above zero: a suspect
    int widened = 0;
    bool dense = false;
  };
  static std::size_t index(const Block& block) {
    return static_cast<std::size_t>(block.layer * kAuditKinds + static_cast<int>(block.kind));
  }
  Health& health(const Block& block) { return health_[index(block)]; }
  const Health& health(const Block& block) const { return health_[index(block)]; }

  Options options_;
  int since_last_ = 0;
  std::size_t turn_ = 0;
  std::optional<Block> suspect_;
  std::vector<Health> health_;
};

}  // namespace dejavu
