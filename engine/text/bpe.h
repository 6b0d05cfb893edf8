// Byte-pair encoding (Sennrich et al. 2016) of one piece: characters are merged pair by pair, the
// earliest learnt merge first. Immutable after loading.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/text/json_part.h"
#include "engine/text/vocabulary.h"

namespace dejavu {

class Bpe {
 public:
  // Reads the "model" of tokenizer.json and adds its tokens to `vocabulary`, which must outlive
  // this. Throws PartError.
  Bpe(const JsonPart& model, Vocabulary& vocabulary);

  // Appends the ids of `piece`: O(n log n) in its length. A character without a token becomes its
  // byte tokens (byte_fallback), the unknown token, or nothing.
  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const;

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t id;  // of the merged token
  };

  void read_merges(const JsonPart& merges);
  const Merge* find_merge(std::int32_t left, std::int32_t right) const;
  std::vector<std::int32_t> initial_symbols(std::string_view piece) const;
  bool append_bytes(std::string_view bytes, std::vector<std::int32_t>& symbols) const;

  const Vocabulary& vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;  // by both ids
  std::optional<std::int32_t> unknown_;
  std::array<std::optional<std::int32_t>, 256> byte_tokens_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

// "<0x0A>" for 10, and back.
std::string byte_token(std::uint8_t byte);
std::optional<std::uint8_t> byte_of_token(std::string_view token);

}  // namespace dejavu
