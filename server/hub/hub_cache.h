// A model's place in the hub's cache, in the layout that the hub's own tools share:
//   models--org--name/refs/REVISION               a commit
//   models--org--name/snapshots/COMMIT/FILE       a link to its blob
//   models--org--name/blobs/HASH                  content, HASH.incomplete while it comes
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/core/result.h"
#include "server/hub/hub_id.h"

namespace dejavu {

class HubCache {
 public:
  HubCache(const std::filesystem::path& cache, const HubId& id);

  // The snapshot of the revision when everything a model needs is there.
  std::optional<std::filesystem::path> complete_snapshot() const;

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
