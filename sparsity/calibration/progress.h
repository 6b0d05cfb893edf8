// A calibration's layers on disk while it is under way, so that an interrupted one goes on.
#pragma once

#include <filesystem>

#include "sparsity/calibration/levels.h"

namespace dejavu {

class SavedLayers {
 public:
  // In DIRECTORY/unfinished; `key` tells what the layers were made from, and layers with another
  // key are as good as none. An empty directory keeps nothing.
  SavedLayers(const std::filesystem::path& directory, std::string key);

  Status save(int index, const CalibratedLayer& layer) const;
  // None: not there, not whole, or made from something else.
  std::optional<CalibratedLayer> load(int index) const;
  void remove() const;

 private:
  std::filesystem::path path(int index) const;

  std::filesystem::path directory_;
  std::string key_;
};

}  // namespace dejavu
