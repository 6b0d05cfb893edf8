// Packs a plan into one block of int32, so that a step's metadata is one upload.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/step_batch.h"
#include "engine/sample/sample_row.h"
#include "engine/schedule/step_plan.h"

namespace dejavu {

class BatchBuilder {
 public:
  // Plans may hold so many tokens, sequences, logit rows, and pages a sequence.
  struct Limits {
    int tokens = 0;
    int sequences = 0;
    int logit_rows = 0;
    int pages_per_sequence = 0;
  };
  // Words that the largest plan takes.
  static std::size_t max_words(const Limits& limits);

  void build(const StepPlan& plan);

  const std::vector<std::int32_t>& words() const { return words_; }
  // One a logit row, in plan order.
  const std::vector<SampleRow>& sample_rows() const { return sample_rows_; }
  // The batch as the transformer reads it, once words() lie at `device`. Its host part stays here.
  StepBatch at(const std::int32_t* device, const std::int32_t* last_tokens) const;

 private:
  void add_sequence(const PlanRow& row, int index);
  void add_choice(std::size_t token, const SparsityChoice& choice);

  StepBatch shape_;  // counts only
  std::size_t positions_ = 0, kv_slots_ = 0, query_start_ = 0, context_length_ = 0;
  std::size_t threshold_level_ = 0, lookahead_level_ = 0;
  std::size_t page_table_ = 0, logit_tokens_ = 0;  // offsets into words_; ids are at 0
  std::vector<std::int32_t> words_;
  std::vector<SampleRow> sample_rows_;
  std::vector<SparsityChoice> choices_;
};

}  // namespace dejavu
