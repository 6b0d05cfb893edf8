// libFuzzer entry: config.json, or a shard index when the first byte is '#'. What is accepted must
// have sizes that multiply without overflow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/model/model_config.h"
#include "engine/model/rope.h"
#include "engine/model/shard_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('#')) {
    const auto shards = dejavu::parse_shard_index(text.substr(1), "fuzz");
    if (!shards) return 0;
    for (const auto& [tensor, file] : *shards)
      if (file.empty() || file.find('/') != std::string::npos || file == "..") std::abort();
    return 0;
  }
  const auto config = dejavu::ModelConfig::parse(text, "fuzz");
  if (!config) return 0;
  if (config->parameter_count() <= 0 || config->heads % config->kv_heads != 0) std::abort();
  if (config->longest_context() < config->max_position) std::abort();
  if (!config->learned_positions) dejavu::rope_tables(config->rope, config->head_dim, 2);
  return 0;
}
