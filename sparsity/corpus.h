// Text to calibrate, evaluate and analyse on, cut into windows of tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "engine/text/tokenizer.h"

namespace dejavu {

// The documents of a file: JSON Lines with a field "text" when its first line is such an object,
// when its name ends in .jsonl, or when all its lines are objects; else one document, the file's
// whole text. Errors name the file and the line.
Result<std::vector<std::string>> read_documents(const std::filesystem::path& path);

// One sequence of at most CorpusOptions::window tokens, computed from position 0.
using TokenWindow = std::vector<std::int32_t>;

struct CorpusOptions {
  int window = 512;
  std::int64_t max_tokens = 0;  // 0: all; whole windows are kept until it is reached
};

// Documents are encoded with special tokens recognised, `begin` in front of each unless the text
// begins with it (-1: none), joined, and cut into windows of exactly `window` tokens; a rest of at
// least two tokens is a shorter last one.
std::vector<TokenWindow> make_windows(std::span<const std::string> documents,
                                      const Tokenizer& tokenizer, std::int32_t begin,
                                      const CorpusOptions& options);

std::int64_t token_count(std::span<const TokenWindow> windows);

}  // namespace dejavu
