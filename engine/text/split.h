// What becomes of the matches when a text is split (SplitDelimiterBehavior of `tokenizers`).
#pragma once

#include <vector>

#include "engine/text/json_part.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/regex.h"

namespace dejavu {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

SplitBehavior read_split_behavior(const JsonPart& part);

// Appends the parts of `piece` that remain; `spans` cover it in order. Empty parts are dropped.
void split_piece(const Piece& piece, const std::vector<Span>& spans, SplitBehavior behavior,
                 std::vector<Piece>& out);

}  // namespace dejavu
