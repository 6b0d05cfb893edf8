// A model directory as config.json and the tensors' headers describe it together; no weight is
// read.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/model/checkpoint.h"
#include "engine/model/model_config.h"

namespace dejavu {

struct StoredModel {
  ModelConfig config;
  std::unique_ptr<Checkpoint> checkpoint;
  std::string prefix;  // of the tensors' names
  DType dtype = DType::kF32;
};

Result<StoredModel> open_stored_model(const std::filesystem::path& directory);

}  // namespace dejavu
