// The "normalizer" of tokenizer.json: steps that rewrite a text before it is cut. Bytes that are
// not UTF-8 pass through unchanged.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/text/json_part.h"

namespace dejavu {

using Normalizer = std::function<std::string(std::string)>;

// In order of application; throws PartError for a kind that is not supported.
std::vector<Normalizer> read_normalizers(const JsonPart& part);

}  // namespace dejavu
