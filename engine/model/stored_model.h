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

// `part` kHeader: the files may end behind their headers, and the checkpoint cannot be read.
Result<StoredModel> open_stored_model(const std::filesystem::path& directory,
                                      SafetensorsPart part = SafetensorsPart::kWhole);

}  // namespace dejavu
