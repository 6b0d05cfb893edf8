// Token strings and their ids. Filled while a tokenizer loads, then immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dejavu {

// Ids above are taken for a damaged file; the largest published vocabularies have 2^18 tokens.
inline constexpr std::int32_t kMaxTokenId = (1 << 21) - 1;

class Vocabulary {
 public:
  // False when the id already stands for another token or the token has another id.
  bool add(std::string_view token, std::int32_t id);

  std::optional<std::int32_t> id(std::string_view token) const;
  bool has(std::int32_t id) const;
  std::string_view token(std::int32_t id) const;                 // empty for an unknown id
  int size() const { return static_cast<int>(tokens_.size()); }  // largest id + 1

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };

  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
  std::vector<std::optional<std::string>> tokens_;
};

}  // namespace dejavu
