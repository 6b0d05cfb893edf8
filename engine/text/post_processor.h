// The "post_processor" of tokenizer.json, reduced to what it does to one text: ids put before and
// behind it.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/text/json_part.h"
#include "engine/text/vocabulary.h"

namespace dejavu {

struct PostProcessor {
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> suffix;
};

// Throws PartError for a kind that is not supported or an id outside the vocabulary.
PostProcessor read_post_processor(const JsonPart& part, const Vocabulary& vocabulary);

}  // namespace dejavu
