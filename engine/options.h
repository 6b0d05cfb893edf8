// Limits of the engine, filled in by config/.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dejavu {

struct EngineOptions {
  int max_num_seqs = 128;             // sequences in one step
  int max_num_batched_tokens = 2048;  // token budget of one step
  // Rows of logits in one step, at most, and never fewer than max_num_seqs: the least that
  // TransformerOptions::max_logit_rows may be.
  int max_logit_rows = 256;
  int max_queued = 512;  // sequences waiting beyond those running; more: RESOURCE_EXHAUSTED
  std::size_t kv_cache_bytes = 0;  // 0: from what memory is left
  // Of what a GPU has free at the start: what weights, predictors and the KV cache may take.
  double gpu_memory_utilization = 0.9;
  bool prefix_caching = true;
  double target_step_seconds =
      0.2;                 // synchronous backends: a prompt chunk is sized to stay near this
  std::uint64_t seed = 0;  // base of the seeds of requests that name none; 0: random
};

}  // namespace dejavu
