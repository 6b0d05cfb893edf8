#include "server/hub/hub_id.h"

#include <algorithm>
#include <cctype>

namespace dejavu {
namespace {

bool is_word(std::string_view text, std::string_view more) {
  return !text.empty() && text.front() != '.' && text.find("..") == std::string_view::npos &&
         std::ranges::all_of(text, [&](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                  more.find(c) != std::string_view::npos;
         });
}

}  // namespace

std::optional<HubId> parse_hub_id(std::string_view text) {
  HubId id;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    id.revision = text.substr(at + 1);
    text = text.substr(0, at);
    if (!is_word(id.revision, "._-/")) return std::nullopt;
  }
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  id.organisation = text.substr(0, slash);
  id.name = text.substr(slash + 1);
  if (!is_word(id.organisation, "._-") || !is_word(id.name, "._-")) return std::nullopt;
  return id;
}

}  // namespace dejavu
