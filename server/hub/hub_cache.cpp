#include "server/hub/hub_cache.h"

#include <fstream>

#include "engine/core/read_file.h"
#include "server/hub/weight_files.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> failed(const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::kInternal, "cannot write " + path.string() + ": " + error.message() +
                                        "; HF_HOME names another place for models");
}

// As the index names them where there is no single one.
std::vector<std::string> weight_files(const fs::path& snapshot) {
  std::error_code error;
  const fs::path index = snapshot / kWeightIndexFile;
  if (fs::exists(snapshot / kSingleWeightFile, error) || !fs::exists(index, error))
    return {kSingleWeightFile};
  const auto text = read_file(index);
  return text ? shards_of(*text) : std::vector<std::string>();
}

}  // namespace

HubCache::HubCache(const fs::path& cache, const HubId& id)
    : folder_(cache / ("models--" + id.organisation + "--" + id.name)), revision_(id.revision) {}

fs::path HubCache::current_snapshot() const {
  std::string commit = revision_;  // which may be one
  if (std::ifstream ref(folder_ / "refs" / revision_); ref) ref >> commit;
  return snapshot(commit);
}

std::vector<std::string> HubCache::missing_files(const fs::path& snapshot) {
  std::vector<std::string> missing;
  std::vector<std::string> needed = weight_files(snapshot);
  if (needed.empty()) missing.emplace_back(kWeightIndexFile);  // there, but of no use
  needed.insert(needed.end(), {"config.json", "tokenizer.json"});
  std::error_code error;
  for (std::string& file : needed) {
    if (!fs::exists(snapshot / file, error)) missing.push_back(std::move(file));
  }
  return missing;
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
