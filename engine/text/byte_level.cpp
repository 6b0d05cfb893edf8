#include "engine/text/byte_level.h"

#include <array>
#include <cstdint>

#include "engine/text/utf8.h"

namespace dejavu {
namespace {

// Printable Latin-1 bytes stand for themselves, the others are numbered from U+0100 on.
constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr char32_t kFirstShifted = 0x100;
constexpr std::size_t kCharacters = kFirstShifted + 68;  // 68 bytes are shifted

struct Tables {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, kCharacters> byte{};  // -1: not a byte character
};

constexpr Tables make_tables() {
  Tables t;
  t.byte.fill(-1);
  char32_t shifted = kFirstShifted;
  for (unsigned b = 0; b < 256; ++b) {
    const char32_t c = stands_for_itself(b) ? static_cast<char32_t>(b) : shifted++;
    t.character[b] = c;
    t.byte[c] = static_cast<std::int16_t>(b);
  }
  return t;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::string to_byte_characters(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char b : bytes) append_utf8(out, kTables.character[static_cast<std::uint8_t>(b)]);
  return out;
}

std::string from_byte_characters(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (c.value >= kCharacters || kTables.byte[c.value] < 0) return std::string(text);
    out.push_back(static_cast<char>(kTables.byte[c.value]));
    i += c.bytes;
  }
  return out;
}

}  // namespace dejavu
