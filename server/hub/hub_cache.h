// A model's place in the hub's cache, in the layout that the hub's own tools share:
//   models--org--name/refs/REVISION               a commit
//   models--org--name/snapshots/COMMIT/FILE       a link to its blob
//   models--org--name/blobs/HASH                  content, HASH.incomplete while it comes
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "server/hub/hub_id.h"

namespace dejavu {

class HubCache {
 public:
  HubCache(const std::filesystem::path& cache, const HubId& id);

  // Where the revision's snapshot is, or would be: nothing is there yet.
  std::filesystem::path current_snapshot() const;
  // What serving needs and `snapshot` lacks: config.json, tokenizer.json, and model.safetensors or
  // every shard that its index names.
  static std::vector<std::string> missing_files(const std::filesystem::path& snapshot);

  std::filesystem::path folder() const { return folder_; }
  std::filesystem::path blob(const std::string& hash) const { return folder_ / "blobs" / hash; }
  std::filesystem::path snapshot(const std::string& commit) const {
    return folder_ / "snapshots" / commit;
  }
  Status make_folders() const;
  Status link(const std::string& commit, const std::string& file, const std::string& hash) const;
  Status set_revision(const std::string& commit) const;

 private:
  std::filesystem::path folder_;
  std::string revision_;
};

}  // namespace dejavu
