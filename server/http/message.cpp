#include "server/http/message.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <random>

namespace dejavu {
namespace {

constexpr std::size_t kMaxRequestIdLength = 128;

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool valid_request_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxRequestIdLength &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string random_id() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (int word = 0; word < 2; ++word) {
    std::uint64_t bits = generator();
    for (int digit = 0; digit < 16; ++digit, bits >>= 4) id += kDigits[bits & 15U];
  }
  return id;
}

// W3C Trace Context: version-trace_id-parent_id-flags.
std::string trace_id_of(std::string_view traceparent) {
  constexpr std::size_t kIdStart = 3;
  constexpr std::size_t kIdLength = 32;
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[35] != '-' ||
      traceparent[52] != '-' || traceparent.substr(0, 2) == "ff")
    return {};
  const std::string_view id = traceparent.substr(kIdStart, kIdLength);
  if (!is_lower_hex(id) || id.find_first_not_of('0') == std::string_view::npos) return {};
  return std::string(id);
}

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return false;
    const char* end = text.data() + i + 3;
    if (std::from_chars(text.data() + i + 1, end, value, 16).ptr != end) return false;
    out += static_cast<char>(value);
    i += 2;
  }
  return true;
}

}  // namespace

std::string_view HttpRequest::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_case_name) return value;
  return {};
}

bool set_target(HttpRequest& request, std::string_view target) {
  if (const std::size_t scheme = target.find("://");
      !target.starts_with('/') && scheme != std::string_view::npos) {
    const std::size_t path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  return percent_decode(target.substr(0, target.find_first_of("?#")), request.path);
}

void set_ids(HttpRequest& request) {
  const std::string_view id = request.header("x-request-id");
  request.request_id = valid_request_id(id) ? std::string(id) : random_id();
  request.trace_id = trace_id_of(request.header("traceparent"));
}

}  // namespace dejavu
