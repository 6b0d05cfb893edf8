// The steps a decoder is made of, each with the semantics of its namesake in `tokenizers`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/text/decoder.h"
#include "engine/text/regex.h"

namespace dejavu {

std::unique_ptr<DecodeStep> make_join_with_spaces();
// Byte characters to bytes, and those to text.
std::unique_ptr<DecodeStep> make_byte_level();
// <0xHH> tokens to text. A run of them that is not UTF-8 as a whole becomes one U+FFFD a token, so
// nothing of a run is final before its end.
std::unique_ptr<DecodeStep> make_byte_fallback();
std::unique_ptr<DecodeStep> make_fuse();
// Collects a token that arrives in parts.
std::unique_ptr<DecodeStep> make_gather();
std::unique_ptr<DecodeStep> make_replace(Regex pattern, std::string content);
// Drops up to `start` and `stop` times `character` at a token's ends.
std::unique_ptr<DecodeStep> make_strip(std::string character, std::size_t start, std::size_t stop);
// `replacement` becomes a space; the first token's are dropped.
std::unique_ptr<DecodeStep> make_metaspace(std::string replacement, bool drop_first);

std::string replace_all(std::string_view text, std::string_view what, std::string_view with);

}  // namespace dejavu
