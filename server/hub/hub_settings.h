// Where models are kept and fetched from, as the hub's own tools are told: HF_HOME, HF_HUB_CACHE,
// HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
#pragma once

#include <filesystem>
#include <string>

namespace dejavu {

struct HubSettings {
  std::filesystem::path cache;  // holds models--org--name
  std::string endpoint = "https://huggingface.co";
  std::string token;  // empty: none
  bool offline = false;

  static HubSettings from_environment(bool offline);
};

}  // namespace dejavu
