// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace dejavu {

// Tensor name to the name of a file beside the index. Errors begin with `name`; a path that leaves
// the directory is one.
Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text,
                                                             const std::string& name);

}  // namespace dejavu
