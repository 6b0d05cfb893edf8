// Names of models on a hub: org/name, with @revision for another branch, tag or commit than main.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dejavu {

struct HubId {
  std::string organisation, name;
  std::string revision = "main";

  std::string repository() const { return organisation + "/" + name; }
};

// Nothing when `text` cannot be one: it is a path then.
std::optional<HubId> parse_hub_id(std::string_view text);

}  // namespace dejavu
