#include "engine/kv_sizing.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "engine/kv/page_table.h"

namespace dejavu {
namespace {

std::string in_mib(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// A host is shared with everything else; most of a GPU is ours.
bool on_host(const BackendInfo& backend) { return backend.device == "cpu"; }

}  // namespace

Result<int> kv_page_count(const BackendInfo& backend, const KvDemand& demand,
                          const EngineOptions& options) {
  const std::size_t page = demand.page_bytes;
  const auto sequence_pages = static_cast<std::size_t>(pages_for(demand.max_model_len));
  const std::size_t least = sequence_pages * page;
  // Slot numbers, page * kKvPageTokens + offset, are int32.
  constexpr std::size_t kMostPages =
      static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / kKvPageTokens;
  const std::string need = "one sequence of max_model_len=" + std::to_string(demand.max_model_len) +
                           " tokens needs " + in_mib(least) + " of KV cache";

  std::size_t bytes = options.kv_cache_bytes;
  if (bytes != 0) {
    if (bytes < least) {
      return invalid(need + ", but kv-cache-memory is " + in_mib(bytes) +
                         "; raise --kv-cache-memory or lower --max-model-len",
                     "kv-cache-memory");
    }
  } else {
    const double share = on_host(backend) ? 1 : options.gpu_memory_utilization;
    const auto usable = static_cast<std::size_t>(share * static_cast<double>(backend.memory_bytes));
    const std::size_t left = usable - std::min(demand.weight_bytes, usable);
    if (left < least) {
      const std::string of_the_gpu =
          on_host(backend) ? "" : ", of which gpu-memory-utilization lets us use " + in_mib(usable);
      return fail(ErrorCode::kResourceExhausted,
                  need + ", but " + in_mib(left) + " of " + in_mib(backend.memory_bytes) + " (" +
                      backend.memory_source + of_the_gpu + ") are left beside " +
                      in_mib(demand.weight_bytes) + " of weights and predictors; lower " +
                      "--max-model-len or give more memory",
                  "max-model-len");
    }
    const std::size_t wanted = static_cast<std::size_t>(options.max_num_seqs) * least;
    bytes = on_host(backend) ? std::max(least, std::min(wanted, left / 4)) : left;
  }
  return static_cast<int>(std::min(bytes / page, kMostPages));
}

}  // namespace dejavu
