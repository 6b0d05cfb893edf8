// What one step computes: for each sequence a run of its tokens, and whose logits are wanted.
#pragma once

#include <vector>

#include "engine/schedule/sequence.h"

namespace dejavu {

struct PlanRow {
  SequencePtr sequence;
  int start = 0;  // first position computed
  int count = 0;
  int round = 0;         // Sequence::round when planned
  bool enters = false;   // its sampler slot must be set first
  int score_begin = 0;   // prompt positions whose log-probability is wanted:
  int score_end = 0;     // [score_begin, score_end); each comes from the logits of the one before
  bool samples = false;  // the last token's logits give the next token

  int logit_rows() const { return score_end - score_begin + static_cast<int>(samples); }
};

struct StepPlan {
  std::vector<PlanRow> rows;
  int prompt_tokens = 0;
  int decode_tokens = 0;
  int preemptions = 0;  // while planning

  int tokens() const { return prompt_tokens + decode_tokens; }
  int logit_rows() const {
    int total = 0;
    for (const PlanRow& row : rows) total += row.logit_rows();
    return total;
  }
};

}  // namespace dejavu
