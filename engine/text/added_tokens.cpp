#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace dejavu {
namespace {

// The character that ends at `end`; a byte that belongs to none is in no class.
CodePoint character_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) {
    --begin;
  }
  const CodePoint c = decode_utf8(text.substr(0, end), begin);
  return c.valid() && begin + c.bytes == end ? c : CodePoint{CodePoint::kInvalid, 1};
}

bool stands_alone(std::string_view text, const TokenTrie::Match& m) {
  const bool word_before = m.begin > 0 && is_word(character_before(text, m.begin).value);
  const bool word_behind = m.end < text.size() && is_word(decode_utf8(text, m.end).value);
  return !word_before && !word_behind;
}

std::size_t skip_spaces_back(std::string_view text, std::size_t end) {
  while (end > 0) {
    const CodePoint c = character_before(text, end);
    if (!is_space(c.value)) break;
    end -= c.bytes;
  }
  return end;
}

std::size_t skip_spaces(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const CodePoint c = decode_utf8(text, begin);
    if (!is_space(c.value)) break;
    begin += c.bytes;
  }
  return begin;
}

}  // namespace

void TokenTrie::add(std::string_view text, std::int32_t id) {
  std::size_t node = 0;
  for (const char c : text) {
    const auto [it, fresh] = nodes_[node].children.try_emplace(c, nodes_.size());
    node = it->second;
    if (fresh) nodes_.emplace_back();
  }
  if (!nodes_[node].id) nodes_[node].id = id;
}

std::optional<TokenTrie::Match> TokenTrie::find(std::string_view text, std::size_t position) const {
  for (; position < text.size(); ++position) {
    std::optional<Match> longest;
    std::size_t node = 0;
    for (std::size_t i = position; i < text.size(); ++i) {
      const auto it = nodes_[node].children.find(text[i]);
      if (it == nodes_[node].children.end()) break;
      node = it->second;
      if (nodes_[node].id) longest = Match{position, i + 1, *nodes_[node].id};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const JsonPart& part, const std::vector<Normalizer>& normalizers,
                         Vocabulary& vocabulary) {
  for (const JsonPart& p : part.elements()) {
    std::string content = p.at("content").text();
    const auto id = static_cast<std::int32_t>(p.at("id").integer(0, kMaxTokenId));
    if (content.empty()) continue;
    if (!vocabulary.add(content, id)) {
      const auto known = vocabulary.id(content);
      p.fail("gives '" + content + "' the id " + std::to_string(id) + ", but " +
             (known ? "it has the id " + std::to_string(*known)
                    : "that is '" + std::string(vocabulary.token(id)) + "'"));
    }
    const bool special = p.boolean_or("special", false);
    const bool normalized = p.boolean_or("normalized", !special);
    for (const Normalizer& n : normalizers) {
      if (normalized) content = n(content);
    }
    (normalized ? normalized_ : raw_).add(content, id);
    tokens_[id] = Token{p.boolean_or("single_word", false), p.boolean_or("lstrip", false),
                        p.boolean_or("rstrip", false), special, content};
  }
}

bool AddedTokens::is_special(std::int32_t id) const {
  const auto it = tokens_.find(id);
  return it != tokens_.end() && it->second.special;
}

std::string_view AddedTokens::decoded(std::int32_t id) const {
  const auto it = tokens_.find(id);
  return it == tokens_.end() ? std::string_view() : std::string_view(it->second.decoded);
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text,
                                                     const TokenTrie& trie) const {
  std::vector<Segment> segments;
  std::size_t done = 0;
  std::size_t position = 0;
  while (const auto match = trie.find(text, position)) {
    position = match->end;
    const Token& token = tokens_.at(match->id);
    if (token.single_word && !stands_alone(text, *match)) continue;
    std::size_t begin = match->begin;
    if (token.left_strip) begin = std::max(done, skip_spaces_back(text, begin));
    if (done < begin) segments.push_back({text.substr(done, begin - done), std::nullopt});
    done = token.right_strip ? skip_spaces(text, match->end) : match->end;
    segments.push_back({text.substr(match->begin, match->end - match->begin), match->id});
  }
  if (done < text.size()) segments.push_back({text.substr(done), std::nullopt});
  return segments;
}

}  // namespace dejavu
