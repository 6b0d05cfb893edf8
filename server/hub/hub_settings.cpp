#include "server/hub/hub_settings.h"

#include <cstdlib>
#include <fstream>

namespace dejavu {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

fs::path home_of_hub() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return home;
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface";
  return fs::path(variable("HOME")) / ".cache/huggingface";
}

// What the hub's login command leaves.
std::string token_file(const fs::path& path) {
  std::ifstream file(path);
  std::string token;
  file >> token;
  return token;
}

}  // namespace

HubSettings HubSettings::from_environment(bool offline) {
  HubSettings settings;
  const fs::path home = home_of_hub();
  const std::string cache = variable("HF_HUB_CACHE");
  settings.cache = cache.empty() ? home / "hub" : fs::path(cache);
  if (std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    settings.endpoint = std::move(endpoint);
  }
  settings.token = variable("HF_TOKEN");
  if (settings.token.empty()) settings.token = token_file(home / "token");
  const std::string forbidden = variable("HF_HUB_OFFLINE");
  settings.offline = offline || (!forbidden.empty() && forbidden != "0");
  return settings;
}

}  // namespace dejavu
