#include "engine/text/pre_tokenizer.h"

#include "engine/text/byte_level.h"
#include "engine/text/pattern.h"
#include "engine/text/split.h"
#include "engine/text/utf8.h"

namespace dejavu {
namespace {

// GPT-2's pattern, which ByteLevel uses unless told otherwise.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Splits every piece by the spans that `find` gives for it.
template <class F>
PreTokenizer splitter(F find, SplitBehavior behavior) {
  return [find, behavior](const std::vector<Piece>& pieces) {
    std::vector<Piece> out;
    for (const Piece& p : pieces) split_piece(p, find(p.text), behavior, out);
    return out;
  };
}

// One span a character, matching where `matches` does.
template <class F>
auto character_spans(F matches) {
  return [matches](std::string_view text) {
    std::vector<Span> spans;
    for (std::size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text, i);
      const bool match = matches(c.value);
      if (!match && !spans.empty() && !spans.back().match) {
        spans.back().end = i + c.bytes;
      } else {
        spans.push_back({i, i + c.bytes, match});
      }
      i += c.bytes;
    }
    return spans;
  };
}

// Runs of word characters and runs of what is neither word nor space: \w+|[^\w\s]+.
std::vector<Piece> split_words(const std::vector<Piece>& pieces) {
  enum class Kind { kSpace, kWord, kOther };
  std::vector<Piece> out;
  for (const Piece& p : pieces) {
    Kind previous = Kind::kSpace;
    for (std::size_t i = 0; i < p.text.size();) {
      const CodePoint c = decode_utf8(p.text, i);
      const Kind kind = is_space(c.value)  ? Kind::kSpace
                        : is_word(c.value) ? Kind::kWord
                                           : Kind::kOther;
      if (kind != Kind::kSpace) {
        if (kind != previous) out.push_back({{}, p.at_start && i == 0});
        out.back().text.append(p.text, i, c.bytes);
      }
      previous = kind;
      i += c.bytes;
    }
  }
  return out;
}

void read_split(const JsonPart& part, std::vector<PreTokenizer>& steps) {
  const Regex pattern = read_pattern(part.at("pattern"));
  const bool invert = part.boolean_or("invert", false);
  const auto find = [pattern, invert](std::string_view text) {
    std::vector<Span> spans = pattern.spans(text);
    for (Span& s : spans) s.match = s.match != invert;
    return spans;
  };
  steps.push_back(splitter(find, read_split_behavior(part.at("behavior"))));
}

void read_byte_level(const JsonPart& part, std::vector<PreTokenizer>& steps) {
  if (part.boolean_or("add_prefix_space", true)) {
    steps.emplace_back([](std::vector<Piece> pieces) {
      for (Piece& p : pieces) {
        if (!p.text.starts_with(' ')) p.text.insert(0, 1, ' ');
      }
      return pieces;
    });
  }
  if (part.boolean_or("use_regex", true)) {
    const Regex pattern(kGpt2Pattern);
    const auto find = [pattern](std::string_view text) { return pattern.spans(text); };
    steps.push_back(splitter(find, SplitBehavior::kIsolated));
  }
  steps.emplace_back([](std::vector<Piece> pieces) {
    for (Piece& p : pieces) p.text = to_byte_characters(p.text);
    return pieces;
  });
}

void read_metaspace(const JsonPart& part, std::vector<PreTokenizer>& steps) {
  const std::string replacement = read_metaspace_replacement(part);
  const PrependScheme scheme = read_prepend_scheme(part);
  steps.emplace_back([=](std::vector<Piece> pieces) {
    for (Piece& p : pieces) {
      std::string text;
      for (const char c : p.text) {
        if (c == ' ') {
          text.append(replacement);
        } else {
          text.push_back(c);
        }
      }
      const bool wanted =
          scheme == PrependScheme::kAlways || (scheme == PrependScheme::kFirst && p.at_start);
      p.text = wanted && !text.starts_with(replacement) ? replacement + text : text;
    }
    return pieces;
  });
  if (part.boolean_or("split", true)) {
    const char32_t mark = decode_utf8(replacement, 0).value;
    steps.push_back(splitter(character_spans([mark](char32_t c) { return c == mark; }),
                             SplitBehavior::kMergedWithNext));
  }
}

void read_into(const JsonPart& part, std::vector<PreTokenizer>& steps) {
  const std::string type = part.at("type").text();
  if (type == "Sequence") {
    for (const JsonPart& p : part.at("pretokenizers").elements()) read_into(p, steps);
  } else if (type == "ByteLevel") {
    read_byte_level(part, steps);
  } else if (type == "Split") {
    read_split(part, steps);
  } else if (type == "Metaspace") {
    read_metaspace(part, steps);
  } else if (type == "Whitespace") {
    steps.emplace_back(split_words);
  } else if (type == "WhitespaceSplit") {
    steps.push_back(splitter(character_spans(is_space), SplitBehavior::kRemoved));
  } else if (type == "Digits") {
    const bool individual = part.boolean_or("individual_digits", false);
    steps.push_back(splitter(character_spans(is_numeric),
                             individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous));
  } else if (type == "Punctuation") {
    const auto behavior = part.find("behavior");
    steps.push_back(splitter(character_spans(is_punctuation),
                             behavior ? read_split_behavior(*behavior) : SplitBehavior::kIsolated));
  } else {
    part.fail("has the type '" + type +
              "', which is not supported; supported are Sequence, ByteLevel, Split, Metaspace, "
              "Whitespace, WhitespaceSplit, Digits and Punctuation");
  }
}

}  // namespace

std::vector<PreTokenizer> read_pre_tokenizers(const JsonPart& part) {
  std::vector<PreTokenizer> steps;
  read_into(part, steps);
  return steps;
}

PrependScheme read_prepend_scheme(const JsonPart& part) {
  const auto scheme = part.find("prepend_scheme");
  // Older files say only add_prefix_space.
  const bool legacy = part.boolean_or("add_prefix_space", true);
  const std::string name = scheme ? scheme->text() : legacy ? "always" : "never";
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  scheme->fail("is '" + name + "'; it must be always, first or never");
}

std::string read_metaspace_replacement(const JsonPart& part) {
  const JsonPart replacement = part.at("replacement");
  if (count_code_points(replacement.text()) != 1) replacement.fail("must be one character");
  return replacement.text();
}

}  // namespace dejavu
