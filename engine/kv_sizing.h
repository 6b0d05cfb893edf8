// How many KV pages the engine keeps.
#pragma once

#include "engine/backend/backend.h"
#include "engine/core/result.h"
#include "engine/options.h"

namespace dejavu {

struct KvDemand {
  std::size_t weight_bytes = 0;  // and of what sparsity keeps beside them
  std::size_t page_bytes = 0;
  int max_model_len = 0;
};

// From options.kv_cache_bytes or, when 0, from the memory that weights leave. At least one sequence
// of the model's length must fit; else the error says how much is needed, how much there is, and
// which options to change.
Result<int> kv_page_count(const BackendInfo& backend, const KvDemand& demand,
                          const EngineOptions& options);

}  // namespace dejavu
