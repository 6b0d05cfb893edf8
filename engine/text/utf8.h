// UTF-8 and character classes. Every function accepts any bytes: what is not UTF-8 is reported or
// passed through, never an error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dejavu {

enum class Utf8Status { kValid, kInvalid, kIncomplete };  // incomplete: cut off by the end of text

struct CodePoint {
  char32_t value = kInvalid;
  std::size_t bytes = 0;  // of the character, or of the longest prefix of one (at least 1)
  Utf8Status status = Utf8Status::kInvalid;

  static constexpr char32_t kInvalid = 0xffffffff;  // in no character class
  bool valid() const { return status == Utf8Status::kValid; }
};

// The character at `position`, which must be inside `text`.
CodePoint decode_utf8(std::string_view text, std::size_t position);
void append_utf8(std::string& out, char32_t c);
bool is_utf8(std::string_view text);
// Number of code points; a byte that belongs to none counts as one.
std::size_t count_code_points(std::string_view text);

// End of the longest run from `position` on that is all UTF-8 (or, for the second, holds none).
std::size_t end_of_utf8(std::string_view text, std::size_t position);
std::size_t end_of_non_utf8(std::string_view text, std::size_t position);

// Turns bytes that arrive in parts into UTF-8: each maximal invalid part becomes one U+FFFD, an
// unfinished character waits for its end.
class Utf8Assembler {
 public:
  std::string append(std::string_view bytes);
  std::string finish();

 private:
  std::string held_;
};

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

bool is_space(char32_t c);        // White_Space
bool is_alphabetic(char32_t c);   // L*
bool is_decimal(char32_t c);      // Nd
bool is_numeric(char32_t c);      // Nd, Nl, No
bool is_mark(char32_t c);         // Mn, Mc, Me
bool is_punctuation(char32_t c);  // ASCII punctuation and P*
bool is_word(char32_t c);         // \w of UTS 18: Alphabetic, M, Nd, Pc, Join_Control

}  // namespace dejavu
