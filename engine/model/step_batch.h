// One step's packed metadata, as the transformer reads it. Arrays are backend memory, filled by
// schedule/batch_builder through one upload.
#pragma once

#include <cstdint>

#include "engine/model/sparsity_choice.h"

namespace dejavu {

// How many of a step's tokens are computed how; on the host, for who chooses a layer's method.
// A prompt token is always dense, whatever its sequence asked for.
struct SparsityCounts {
  int dense = 0;
  int exact = 0;
  int threshold = 0;
  int lookahead = 0;
};

struct StepBatch {
  int tokens = 0;                                // T
  int sequences = 0;                             // S
  const std::int32_t* ids = nullptr;             // [T]; ~slot: that slot's last sampled token
  const std::int32_t* positions = nullptr;       // [T]
  const std::int32_t* kv_slots = nullptr;        // [T]
  const std::int32_t* query_start = nullptr;     // [S+1]
  const std::int32_t* context_length = nullptr;  // [S]
  const std::int32_t* page_table = nullptr;      // [S][page_table_stride]
  int page_table_stride = 0;
  const std::int32_t* last_tokens = nullptr;      // [slots]
  const std::int32_t* threshold_level = nullptr;  // [T]: of the artifact; -1: not this mode
  const std::int32_t* lookahead_level = nullptr;  // [T]: likewise
  SparsityCounts sparsity;
  // Host [T]: what is counted and levelled above, a token each. Null: all tokens have one mode.
  const SparsityChoice* choices = nullptr;
  int logit_rows = 0;                          // R
  const std::int32_t* logit_tokens = nullptr;  // [R]: which of the T tokens need logits
};

}  // namespace dejavu
