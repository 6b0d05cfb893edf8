#include "engine/model/json_text.h"

namespace dejavu {
namespace {

using nlohmann::json;

constexpr std::size_t kLargest = std::size_t{64} << 20;
constexpr int kDeepest = 16;

}  // namespace

Result<json> parse_json_object(std::string_view text, const std::string& name) {
  if (text.size() > kLargest) return invalid(name + ": is larger than 64 MB");
  // Copies and printing recurse, so depth is bounded while reading.
  bool too_deep = false;
  const auto bound = [&too_deep](int depth, json::parse_event_t /*event*/, json& /*value*/) {
    too_deep = too_deep || depth > kDeepest;
    return !too_deep;
  };
  json object = json::parse(text, bound, /*allow_exceptions=*/false);
  if (too_deep)
    return invalid(name + ": nests deeper than " + std::to_string(kDeepest) + " levels");
  if (!object.is_object()) return invalid(name + ": is not a JSON object");
  return object;
}

std::string printable(std::string_view name) {
  constexpr std::size_t kLongest = 120;
  std::string text = "'";
  for (const char c : name.substr(0, kLongest))
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > kLongest ? "...'" : "'");
}

}  // namespace dejavu
