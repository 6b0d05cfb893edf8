// A regular expression as tokenizer.json writes it (Oniguruma syntax), run by PCRE2 with JIT.
// Immutable after compiling: any thread may match.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

// Bytes [begin, end) of a text, and whether the pattern matched them.
struct Span {
  std::size_t begin;
  std::size_t end;
  bool match;
};

class Regex {
 public:
  // Throws PartError when the pattern is wrong or uses what PCRE2 would read differently.
  explicit Regex(std::string_view pattern);
  // A pattern that matches `text` itself.
  static Regex literal(std::string_view text);

  // Cuts the whole text into matches and what lies between them. Bytes that are not UTF-8 match
  // nothing, and the text on both sides of them is matched apart. When a match exceeds the step
  // limit, what follows is not matched either.
  std::vector<Span> spans(std::string_view text) const;
  std::string replace(std::string_view text, std::string_view with) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

// Rewrites Oniguruma (Ruby) syntax to PCRE2's: \s, \w and \h have other meanings there, and
// Oniguruma nests character classes.
std::string translate_regex(std::string_view pattern);

}  // namespace dejavu
