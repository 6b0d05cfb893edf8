#include "server/utf8.h"

#include <algorithm>
#include <cstdint>

namespace dejavu {

namespace {

struct Lead {
  std::size_t length = 0;                // 0: not a lead byte
  std::uint8_t low = 0x80, high = 0xbf;  // range of the second byte
};

Lead classify(std::uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte >= 0xc2 && byte <= 0xdf) return {2};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {3};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {4};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {};
}

// Bytes at the start of `bytes` that belong to one character, well-formed or cut short.
std::size_t valid_prefix(std::string_view bytes, const Lead& lead) {
  std::size_t good = 1;
  while (good < lead.length && good < bytes.size()) {
    const auto byte = static_cast<std::uint8_t>(bytes[good]);
    const std::uint8_t low = good == 1 ? lead.low : 0x80;
    const std::uint8_t high = good == 1 ? lead.high : 0xbf;
    if (byte < low || byte > high) break;
    ++good;
  }
  return good;
}

}  // namespace

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Lead lead = classify(static_cast<std::uint8_t>(bytes.front()));
    const std::size_t good = valid_prefix(bytes, lead);
    if (good == lead.length) {
      out += bytes.substr(0, good);
    } else {
      out += "\xef\xbf\xbd";
    }
    bytes.remove_prefix(good);
  }
  return out;
}

std::size_t count_code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<std::uint8_t>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace dejavu
