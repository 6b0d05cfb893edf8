#include "engine/text/bpe.h"

#include <algorithm>
#include <charconv>
#include <queue>

#include "engine/text/utf8.h"

namespace dejavu {
namespace {

constexpr std::int32_t kNone = -1;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

// A linked list of symbols; a merged symbol keeps its left part's place.
struct Symbol {
  std::int32_t id;
  std::int32_t previous;
  std::int32_t next;
};

struct Candidate {
  std::int32_t rank;
  std::int32_t position;  // of the left symbol
  std::int32_t left;      // ids when it was queued: another pair there now means it is stale
  std::int32_t right;
  std::int32_t merged;

  bool operator<(const Candidate& other) const {  // the queue's top is the lowest rank, leftmost
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

void refuse_if_set(const JsonPart& model, std::string_view key) {
  const auto part = model.find(key);
  if (part && !part->text().empty()) part->fail("is not supported: it must be empty");
}

}  // namespace

std::string byte_token(std::uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

std::optional<std::uint8_t> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  std::uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, byte, 16);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return byte;
}

Bpe::Bpe(const JsonPart& model, Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  if (const std::string type = model.text_or("type", "BPE"); type != "BPE") {
    model.at("type").fail("is '" + type + "'; only BPE is supported");
  }
  refuse_if_set(model, "continuing_subword_prefix");
  refuse_if_set(model, "end_of_word_suffix");
  if (const auto dropout = model.find("dropout"); dropout && dropout->value() != 0.0) {
    dropout->fail("is not supported: it must be null or 0");
  }
  fuse_unknown_ = model.boolean_or("fuse_unk", false);
  byte_fallback_ = model.boolean_or("byte_fallback", false);
  ignore_merges_ = model.boolean_or("ignore_merges", false);

  const JsonPart vocab = model.at("vocab");
  if (!vocab.value().is_object() || vocab.value().empty()) {
    vocab.fail("must be an object that gives each token its id");
  }
  for (const auto& [token, value] : vocab.value().items()) {
    const std::int64_t id =
        JsonPart(value, vocab.path() + "['" + token + "']").integer(0, kMaxTokenId);
    if (!vocabulary.add(token, static_cast<std::int32_t>(id))) {
      vocab.fail("gives the id " + std::to_string(id) + " to more than one token ('" + token +
                 "' and '" + std::string(vocabulary.token(static_cast<std::int32_t>(id))) + "')");
    }
  }
  if (const auto unknown = model.find("unk_token")) {
    unknown_ = vocabulary.id(unknown->text());
    if (!unknown_) unknown->fail("is '" + unknown->text() + "', which is not in the vocabulary");
  }
  for (std::size_t b = 0; b < byte_tokens_.size(); ++b) {
    byte_tokens_[b] = vocabulary.id(byte_token(static_cast<std::uint8_t>(b)));
  }
  read_merges(model.at("merges"));
}

void Bpe::read_merges(const JsonPart& merges) {
  if (!merges.value().is_array()) merges.fail("must be an array");
  merges_.reserve(merges.value().size());
  std::int32_t rank = 0;
  for (const auto& value : merges.value()) {
    const auto fail = [&](std::string_view what) {
      JsonPart(value, merges.path() + "[" + std::to_string(rank) + "]").fail(what);
    };
    std::string left;
    std::string right;
    if (value.is_string()) {
      const auto& line = value.get_ref<const std::string&>();
      const std::size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
        fail("must be two tokens with one space between them");
      }
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else if (value.is_array() && value.size() == 2 && value[0].is_string() &&
               value[1].is_string()) {
      left = value[0].get<std::string>();
      right = value[1].get<std::string>();
    } else {
      fail("must be a string of two tokens or an array of two strings");
    }
    const auto left_id = vocabulary_.id(left);
    const auto right_id = vocabulary_.id(right);
    const auto merged_id = vocabulary_.id(left + right);
    if (!left_id || !right_id || !merged_id) {
      fail("merges '" + left + "' and '" + right + "', but '" +
           (!left_id    ? left
            : !right_id ? right
                        : left + right) +
           "' is not in the vocabulary");
    }
    merges_.insert_or_assign(pair_key(*left_id, *right_id), Merge{rank++, *merged_id});
  }
}

const Bpe::Merge* Bpe::find_merge(std::int32_t left, std::int32_t right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

bool Bpe::append_bytes(std::string_view bytes, std::vector<std::int32_t>& symbols) const {
  const auto token_of = [this](char b) { return byte_tokens_[static_cast<std::uint8_t>(b)]; };
  if (!byte_fallback_ ||
      !std::all_of(bytes.begin(), bytes.end(), [&](char b) { return token_of(b).has_value(); })) {
    return false;
  }
  for (const char b : bytes) symbols.push_back(*token_of(b));
  return true;
}

std::vector<std::int32_t> Bpe::initial_symbols(std::string_view piece) const {
  std::vector<std::int32_t> symbols;
  symbols.reserve(piece.size());
  bool unknown_waits = false;  // written when a known character or the end follows
  for (std::size_t i = 0; i < piece.size();) {
    const std::string_view character = piece.substr(i, decode_utf8(piece, i).bytes);
    i += character.size();
    if (const auto id = vocabulary_.id(character)) {
      if (unknown_waits) symbols.push_back(*unknown_);
      unknown_waits = false;
      symbols.push_back(*id);
    } else if (!append_bytes(character, symbols) && unknown_) {
      if (unknown_waits && !fuse_unknown_) symbols.push_back(*unknown_);
      unknown_waits = true;
    }
  }
  if (unknown_waits) symbols.push_back(*unknown_);
  return symbols;
}

void Bpe::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto id = vocabulary_.id(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  const std::vector<std::int32_t> initial = initial_symbols(piece);
  const auto count = static_cast<std::int32_t>(initial.size());
  std::vector<Symbol> symbols;
  symbols.reserve(initial.size());
  for (std::int32_t i = 0; i < count; ++i) {
    symbols.push_back({initial[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : kNone});
  }
  const auto symbol = [&symbols](std::int32_t i) -> Symbol& {
    return symbols[static_cast<std::size_t>(i)];
  };

  std::vector<Candidate> storage;
  storage.reserve(initial.size());
  std::priority_queue<Candidate> queue({}, std::move(storage));
  const auto consider = [&](std::int32_t left, std::int32_t right) {
    if (left == kNone || right == kNone) return;
    const Merge* merge = find_merge(symbol(left).id, symbol(right).id);
    if (merge == nullptr) return;
    queue.push({merge->rank, left, symbol(left).id, symbol(right).id, merge->id});
  };
  for (std::int32_t i = 0; i + 1 < count; ++i) consider(i, i + 1);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.position);
    if (left.id != best.left || left.next == kNone || symbol(left.next).id != best.right) continue;
    Symbol& right = symbol(left.next);
    left.id = best.merged;
    left.next = right.next;
    right.id = kNone;
    if (left.next != kNone) symbol(left.next).previous = best.position;
    consider(left.previous, best.position);
    consider(best.position, left.next);
  }
  for (const Symbol& s : symbols) {
    if (s.id != kNone) ids.push_back(s.id);
  }
}

}  // namespace dejavu
