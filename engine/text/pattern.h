// The "pattern" of tokenizer.json's Split and Replace: {"Regex": ...} or {"String": ...}.
#pragma once

#include "engine/text/json_part.h"
#include "engine/text/regex.h"

namespace dejavu {

Regex read_pattern(const JsonPart& part);

}  // namespace dejavu
