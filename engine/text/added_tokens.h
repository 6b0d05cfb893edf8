// Tokens that are recognised as they are written, before the text is cut into pieces: special ones
// (<s>, <|im_start|>) and words that were added to the vocabulary. Immutable after loading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/text/json_part.h"
#include "engine/text/normalizer.h"
#include "engine/text/vocabulary.h"

namespace dejavu {

// A prefix tree over bytes.
class TokenTrie {
 public:
  void add(std::string_view text, std::int32_t id);

  struct Match {
    std::size_t begin;
    std::size_t end;
    std::int32_t id;
  };
  // The leftmost match from `position` on, the longest of those that begin there.
  std::optional<Match> find(std::string_view text, std::size_t position) const;

 private:
  struct Node {
    std::unordered_map<char, std::size_t> children;
    std::optional<std::int32_t> id;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

class AddedTokens {
 public:
  // Reads "added_tokens" and adds them to `vocabulary`. Throws PartError.
  AddedTokens(const JsonPart& part, const std::vector<Normalizer>& normalizers,
              Vocabulary& vocabulary);

  struct Segment {
    std::string_view text;
    std::optional<std::int32_t> id;  // set: an added token; else text to encode
  };
  // The first runs on the text as given, the second on what the normalizers made of it.
  std::vector<Segment> split_raw(std::string_view text) const { return split(text, raw_); }
  std::vector<Segment> split_normalized(std::string_view text) const {
    return split(text, normalized_);
  }

  bool is_added(std::int32_t id) const { return tokens_.contains(id); }
  bool is_special(std::int32_t id) const;
  // What an added token decodes to (as in `tokenizers`, after the normalizers); empty for others.
  std::string_view decoded(std::int32_t id) const;

 private:
  struct Token {
    bool single_word;
    bool left_strip;
    bool right_strip;
    bool special;
    std::string decoded;
  };

  std::vector<Segment> split(std::string_view text, const TokenTrie& trie) const;

  std::unordered_map<std::int32_t, Token> tokens_;
  TokenTrie raw_;
  TokenTrie normalized_;
};

}  // namespace dejavu
