// The tensors of a model directory: model.safetensors, or shards named by
// model.safetensors.index.json. Files stay mapped while this lives.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/mapped_file.h"
#include "engine/model/safetensors.h"
#include "engine/model/weight_source.h"

namespace dejavu {

class Checkpoint : public WeightSource {
 public:
  // Errors name the file and, where one is at fault, the tensor.
  // With headers alone, names, types and shapes are known; nothing can be read.
  static Result<std::unique_ptr<Checkpoint>> open(const std::filesystem::path& directory,
                                                  SafetensorsPart part = SafetensorsPart::kWhole);

  bool has(std::string_view tensor) const { return tensors_.contains(tensor); }
  // The float type a tensor is stored in; absent when it is missing or no float.
  std::optional<DType> stored_dtype(std::string_view tensor) const;

  // Every tensor as stored, in the order of its name.
  std::vector<std::pair<std::string_view, const SafetensorsEntry*>> entries() const;

  Result<std::size_t> check(const TensorSpec& spec) const override;
  Status check_rest() const override { return covered_; }
  void begin(const TensorSpec& spec) const override;
  void end(const TensorSpec& spec) const override;
  void read(const TensorSpec& spec, const TensorSlice& slice) const override;

 private:
  struct Tensor {
    SafetensorsEntry entry;
    std::filesystem::path file;
  };

  explicit Checkpoint(SafetensorsPart part) : part_(part) {}
  Status add_file(const std::filesystem::path& path);
  Status add_shards(const std::filesystem::path& index);

  SafetensorsPart part_;
  std::filesystem::path directory_;
  std::filesystem::path list_;  // the file that lists every tensor: the only one, or the index
  Status covered_;              // the first hole in a file
  std::vector<MappedFile> files_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace dejavu
