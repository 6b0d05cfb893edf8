#include "engine/model/shard_index.h"

#include "engine/model/json_text.h"

namespace dejavu {
namespace {

using nlohmann::json;

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text,
                                                             const std::string& name) {
  const auto index = parse_json_object(text, name);
  if (!index) return tl::unexpected(index.error());
  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object()) return invalid(name + ": has no weight_map object");
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get<std::string>())) {
      return invalid(name + ": tensor " + printable(tensor) +
                     " must name a file in the same directory, not " +
                     printable(file.dump(-1, ' ', true, json::error_handler_t::replace)));
    }
    shards.emplace(tensor, file.get<std::string>());
  }
  return shards;
}

}  // namespace dejavu
