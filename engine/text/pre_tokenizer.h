// The "pre_tokenizer" of tokenizer.json: steps that cut a text into the pieces that BPE merges.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/text/json_part.h"

namespace dejavu {

struct Piece {
  std::string text;
  bool at_start = false;  // begins where the encoded text begins
};

using PreTokenizer = std::function<std::vector<Piece>(std::vector<Piece>)>;

// In order of application; throws PartError for a kind that is not supported.
std::vector<PreTokenizer> read_pre_tokenizers(const JsonPart& part);

enum class PrependScheme { kAlways, kFirst, kNever };
// Of a Metaspace pre-tokenizer or decoder.
PrependScheme read_prepend_scheme(const JsonPart& part);
std::string read_metaspace_replacement(const JsonPart& part);

}  // namespace dejavu
