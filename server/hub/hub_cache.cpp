#include "server/hub/hub_cache.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

namespace dejavu {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> failed(const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::kInternal, "cannot write " + path.string() + ": " + error.message() +
                                        "; HF_HOME names another place for models");
}

// config.json, and model.safetensors or every shard of its index. exists() follows links.
bool is_complete(const fs::path& snapshot) {
  std::error_code error;
  if (!fs::exists(snapshot / "config.json", error)) return false;
  if (fs::exists(snapshot / "model.safetensors", error)) return true;
  std::ifstream file(snapshot / "model.safetensors.index.json");
  const auto index = nlohmann::json::parse(file, nullptr, false);
  if (!index.is_object() || !index.contains("weight_map")) return false;
  const auto& shards = index["weight_map"];
  return shards.is_object() && !shards.empty() &&
         std::all_of(shards.begin(), shards.end(), [&](const nlohmann::json& shard) {
           return shard.is_string() && fs::exists(snapshot / shard.get<std::string>(), error);
         });
}

}  // namespace

HubCache::HubCache(const fs::path& cache, const HubId& id)
    : folder_(cache / ("models--" + id.organisation + "--" + id.name)), revision_(id.revision) {}

std::optional<fs::path> HubCache::complete_snapshot() const {
  std::string commit = revision_;  // which may be one
  if (std::ifstream ref(folder_ / "refs" / revision_); ref) ref >> commit;
  const fs::path found = snapshot(commit);
  if (!is_complete(found)) return std::nullopt;
  return found;
}

Status HubCache::make_folders() const {
  std::error_code error;
  for (const fs::path& path : {folder_ / "blobs", (folder_ / "refs" / revision_).parent_path()}) {
    fs::create_directories(path, error);
    if (error) return failed(path, error);
  }
  return {};
}

Status HubCache::link(const std::string& commit, const std::string& file,
                      const std::string& hash) const {
  std::error_code error;
  const fs::path at = snapshot(commit) / file;
  fs::create_directories(at.parent_path(), error);
  fs::remove(at, error);
  fs::create_symlink(blob(hash).lexically_relative(at.parent_path()), at, error);
  if (error) return failed(at, error);
  return {};
}

Status HubCache::set_revision(const std::string& commit) const {
  if (commit == revision_) return {};
  const fs::path at = folder_ / "refs" / revision_;
  std::ofstream file(at, std::ios::trunc);
  file << commit;
  if (!file.flush()) return failed(at, std::make_error_code(std::errc::io_error));
  return {};
}

}  // namespace dejavu
