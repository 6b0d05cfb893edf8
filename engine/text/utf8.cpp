#include "engine/text/utf8.h"

#include <utf8proc.h>

#include <cstdint>

namespace dejavu {
namespace {

// Length of a character by its first byte and the range its second byte may have (Unicode 15,
// table 3-7); length 0 for a byte that starts none.
struct Lead {
  std::size_t length;
  std::uint8_t second_low;
  std::uint8_t second_high;
};

Lead classify_lead(std::uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

utf8proc_category_t category(char32_t c) {
  // utf8proc takes a signed code point and answers CN for what is out of range.
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_letter(utf8proc_category_t k) {
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
         k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
}

bool is_mark_category(utf8proc_category_t k) {
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

// Other_Alphabetic characters that are not marks: circled and squared Latin letters.
bool is_enclosed_letter(char32_t c) {
  return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

}  // namespace

CodePoint decode_utf8(std::string_view text, std::size_t position) {
  const auto byte_at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte_at(position);
  const Lead lead = classify_lead(first);
  if (lead.length == 1) return {first, 1, Utf8Status::kValid};
  if (lead.length == 0) return {CodePoint::kInvalid, 1, Utf8Status::kInvalid};

  char32_t value = first & (0x7fU >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (position + i >= text.size()) return {CodePoint::kInvalid, i, Utf8Status::kIncomplete};
    const std::uint8_t byte = byte_at(position + i);
    const std::uint8_t low = i == 1 ? lead.second_low : 0x80;
    const std::uint8_t high = i == 1 ? lead.second_high : 0xbf;
    if (byte < low || byte > high) return {CodePoint::kInvalid, i, Utf8Status::kInvalid};
    value = (value << 6) | (byte & 0x3fU);
  }
  return {value, lead.length, Utf8Status::kValid};
}

void append_utf8(std::string& out, char32_t c) {
  const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xc0 | (c >> 6));
    push(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    push(0xe0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3f));
    push(0x80 | (c & 0x3f));
  } else {
    push(0xf0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3f));
    push(0x80 | ((c >> 6) & 0x3f));
    push(0x80 | (c & 0x3f));
  }
}

bool is_utf8(std::string_view text) { return end_of_utf8(text, 0) == text.size(); }

std::size_t count_code_points(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) i += decode_utf8(text, i).bytes;
  return count;
}

std::size_t end_of_utf8(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    const CodePoint c = decode_utf8(text, position);
    if (!c.valid()) break;
    position += c.bytes;
  }
  return position;
}

std::size_t end_of_non_utf8(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    const CodePoint c = decode_utf8(text, position);
    if (c.valid()) break;
    position += c.bytes;
  }
  return position;
}

std::string Utf8Assembler::append(std::string_view bytes) {
  held_.append(bytes);
  std::string out;
  std::size_t position = 0;
  while (position < held_.size()) {
    const CodePoint c = decode_utf8(held_, position);
    if (c.status == Utf8Status::kIncomplete) break;
    if (c.valid()) {
      out.append(held_, position, c.bytes);
    } else {
      out.append(kReplacementCharacter);
    }
    position += c.bytes;
  }
  held_.erase(0, position);
  return out;
}

std::string Utf8Assembler::finish() {
  if (held_.empty()) return {};
  held_.clear();
  return std::string(kReplacementCharacter);
}

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_alphabetic(char32_t c) { return is_letter(category(c)); }

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_numeric(char32_t c) {
  const utf8proc_category_t k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool is_mark(char32_t c) { return is_mark_category(category(c)); }

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool is_word(char32_t c) {
  const utf8proc_category_t k = category(c);
  return is_letter(k) || is_mark_category(k) || k == UTF8PROC_CATEGORY_ND ||
         k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d ||
         is_enclosed_letter(c);
}

}  // namespace dejavu
