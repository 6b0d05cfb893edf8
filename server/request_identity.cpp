#include "server/request_identity.h"

#include <algorithm>
#include <cctype>
#include <random>

namespace dejavu {

namespace {

constexpr std::size_t kMaxRequestIdLength = 128;

std::string random_id() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::random_device device;
  std::string id;
  while (id.size() < 32) {
    unsigned bits = device();
    for (int digit = 0; digit < 8; ++digit, bits >>= 4) id += kDigits[bits & 15U];
  }
  return id;
}

bool is_lower_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool same_in_constant_time(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size() && !key.empty(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
  }
  return difference == 0 && !key.empty();
}

}  // namespace

std::string request_id_or_new(std::string_view client_id) {
  const bool printable =
      std::all_of(client_id.begin(), client_id.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (client_id.empty() || client_id.size() > kMaxRequestIdLength || !printable) return random_id();
  return std::string(client_id);
}

std::string trace_id_of(std::string_view traceparent) {
  // version "-" trace id "-" parent id "-" flags
  constexpr std::size_t kIdStart = 3, kIdLength = 32, kLength = 55;
  if (traceparent.size() < kLength || traceparent[2] != '-' || traceparent[35] != '-' ||
      traceparent[52] != '-' || traceparent.starts_with("ff")) {
    return "";
  }
  const std::string_view id = traceparent.substr(kIdStart, kIdLength);
  if (!is_lower_hex(id) || id.find_first_not_of('0') == std::string_view::npos) return "";
  return std::string(id);
}

bool bearer_token_matches(std::string_view authorization,
                          const std::vector<std::string>& api_keys) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view scheme = authorization.substr(0, kScheme.size());
  const bool bearer =
      std::equal(scheme.begin(), scheme.end(), kScheme.begin(), kScheme.end(),
                 [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
  if (!bearer) return false;
  std::string_view token = authorization.substr(kScheme.size());
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
  bool match = false;
  for (const std::string& key : api_keys) match = same_in_constant_time(token, key) || match;
  return match;
}

}  // namespace dejavu
