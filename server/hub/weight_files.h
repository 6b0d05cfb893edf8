// The files of a model's weights: one, or the shards that an index names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

constexpr const char* kSingleWeightFile = "model.safetensors";
constexpr const char* kWeightIndexFile = "model.safetensors.index.json";

// The shards' names, each once; none when `index` is no index, or names what is not beside it.
std::vector<std::string> shards_of(std::string_view index);

}  // namespace dejavu
