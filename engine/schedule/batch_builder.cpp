#include "engine/schedule/batch_builder.h"

#include <algorithm>

namespace dejavu {
namespace {

// Sections start on cache lines.
std::size_t aligned(std::size_t words) { return (words + 15) / 16 * 16; }

// Rows of the page table grow in steps, so that a step's shape stays the same for a while.
constexpr int kTableStep = 8;
int table_stride(int pages) { return (pages + kTableStep - 1) / kTableStep * kTableStep; }

std::size_t unsigned_of(int count) { return static_cast<std::size_t>(count); }

}  // namespace

std::size_t BatchBuilder::max_words(const Limits& limits) {
  return 5 * aligned(unsigned_of(limits.tokens)) + aligned(unsigned_of(limits.sequences) + 1) +
         aligned(unsigned_of(limits.sequences)) +
         aligned(unsigned_of(limits.sequences) *
                 unsigned_of(table_stride(limits.pages_per_sequence))) +
         aligned(unsigned_of(limits.logit_rows));
}

void BatchBuilder::build(const StepPlan& plan) {
  shape_ = {};
  shape_.tokens = plan.tokens();
  shape_.sequences = static_cast<int>(plan.rows.size());
  shape_.logit_rows = plan.logit_rows();
  for (const PlanRow& row : plan.rows) {
    shape_.page_table_stride = std::max(shape_.page_table_stride, pages_for(row.start + row.count));
  }
  shape_.page_table_stride = table_stride(shape_.page_table_stride);
  const std::size_t tokens = aligned(unsigned_of(shape_.tokens));
  positions_ = tokens;
  kv_slots_ = positions_ + tokens;
  threshold_level_ = kv_slots_ + tokens;
  lookahead_level_ = threshold_level_ + tokens;
  query_start_ = lookahead_level_ + tokens;
  context_length_ = query_start_ + aligned(unsigned_of(shape_.sequences) + 1);
  page_table_ = context_length_ + aligned(unsigned_of(shape_.sequences));
  logit_tokens_ =
      page_table_ + aligned(unsigned_of(shape_.sequences) * unsigned_of(shape_.page_table_stride));
  words_.assign(logit_tokens_ + aligned(unsigned_of(shape_.logit_rows)), 0);
  sample_rows_.clear();
  choices_.clear();
  for (int i = 0; i < shape_.sequences; ++i) add_sequence(plan.rows[unsigned_of(i)], i);
}

void BatchBuilder::add_sequence(const PlanRow& row, int index) {
  const Sequence& sequence = *row.sequence;
  const auto s = unsigned_of(index);
  const std::int32_t first = words_[query_start_ + s];
  for (int i = 0; i < row.count; ++i) {
    const int position = row.start + i;
    const std::size_t t = unsigned_of(first + i);
    const auto p = unsigned_of(position);
    words_[t] = p < sequence.tokens.size() ? sequence.tokens[p] : ~sequence.slot;
    words_[positions_ + t] = position;
    words_[kv_slots_ + t] = sequence.pages.slot(position);
    const bool generated = position >= sequence.prompt_length;
    add_choice(t, generated ? sequence.request.sparsity : SparsityChoice{});
  }
  words_[query_start_ + s + 1] = first + row.count;
  words_[context_length_ + s] = row.start + row.count;
  const auto pages = sequence.pages.pages().first(unsigned_of(pages_for(row.start + row.count)));
  std::copy(pages.begin(), pages.end(),
            words_.begin() + static_cast<std::ptrdiff_t>(
                                 page_table_ + s * unsigned_of(shape_.page_table_stride)));

  const auto add_logits = [&](int position, std::int32_t score) {
    words_[logit_tokens_ + sample_rows_.size()] = first + position - row.start;
    sample_rows_.push_back({sequence.slot, score});
  };
  for (int position = row.score_begin; position < row.score_end; ++position) {
    add_logits(position - 1, sequence.tokens[unsigned_of(position)]);
  }
  if (row.samples) add_logits(row.start + row.count - 1, -1);
}

void BatchBuilder::add_choice(std::size_t token, const SparsityChoice& choice) {
  SparsityCounts& counts = shape_.sparsity;
  int* const count_of[] = {&counts.dense, &counts.exact, &counts.threshold, &counts.lookahead};
  *count_of[static_cast<std::size_t>(choice.mode)] += 1;
  const auto level_in = [&choice](SparsityMode mode) {
    return choice.mode == mode ? choice.level : -1;
  };
  words_[threshold_level_ + token] = level_in(SparsityMode::kThreshold);
  words_[lookahead_level_ + token] = level_in(SparsityMode::kLookahead);
  choices_.push_back(choice);
}

StepBatch BatchBuilder::at(const std::int32_t* device, const std::int32_t* last_tokens) const {
  StepBatch batch = shape_;
  batch.ids = device;
  batch.positions = device + positions_;
  batch.kv_slots = device + kv_slots_;
  batch.threshold_level = device + threshold_level_;
  batch.lookahead_level = device + lookahead_level_;
  batch.choices = choices_.data();
  batch.query_start = device + query_start_;
  batch.context_length = device + context_length_;
  batch.page_table = device + page_table_;
  batch.last_tokens = last_tokens;
  batch.logit_tokens = device + logit_tokens_;
  return batch;
}

}  // namespace dejavu
