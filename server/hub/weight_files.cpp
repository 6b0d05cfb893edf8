#include "server/hub/weight_files.h"

#include <nlohmann/json.hpp>
#include <set>

namespace dejavu {

std::vector<std::string> shards_of(std::string_view index) {
  const auto json = nlohmann::json::parse(index, nullptr, /*allow_exceptions=*/false);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object()) return {};
  std::set<std::string> names;
  for (const auto& shard : *map) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : std::string();
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos) return {};
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

}  // namespace dejavu
