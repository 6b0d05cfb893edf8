#include "engine/model/checkpoint.h"

#include <set>

#include "engine/model/copy_slice.h"
#include "engine/model/json_text.h"
#include "engine/model/shard_index.h"

namespace dejavu {
namespace {

std::optional<DType> float_type(std::string_view dtype) {
  if (dtype == "F32") return DType::kF32;
  if (dtype == "F16") return DType::kF16;
  if (dtype == "BF16") return DType::kBF16;
  return {};
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

}  // namespace

Status Checkpoint::add_file(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  auto header = parse_safetensors(file->bytes(), path.string(), part_);
  if (!header) return tl::unexpected(header.error());
  if (covered_ && part_ == SafetensorsPart::kWhole)
    covered_ = check_no_hole(*header, file->bytes(), path.string());
  for (auto& [name, entry] : *header) {
    const auto [it, added] = tensors_.emplace(name, Tensor{std::move(entry), path});
    if (!added)
      return invalid(path.string() + ": tensor " + printable(name) + " is also in " +
                     it->second.file.string());
  }
  files_.push_back(std::move(*file));
  return {};
}

Status Checkpoint::add_shards(const std::filesystem::path& index) {
  const auto text = MappedFile::open(index);
  if (!text) return tl::unexpected(text.error());
  const auto shards = parse_shard_index(text->text(), index.string());
  if (!shards) return tl::unexpected(shards.error());
  std::set<std::string> files;
  for (const auto& [tensor, file] : *shards) {
    if (!std::filesystem::exists(directory_ / file))
      return invalid(index.string() + ": tensor " + printable(tensor) + " is said to be in " +
                     printable(file) + ", which does not exist");
    files.insert(file);
  }
  for (const std::string& file : files)
    if (auto added = add_file(directory_ / file); !added) return added;
  for (const auto& [tensor, file] : *shards) {
    const auto it = tensors_.find(tensor);
    if (it == tensors_.end() || it->second.file != directory_ / file)
      return invalid((directory_ / file).string() + ": tensor " + printable(tensor) +
                     " is missing, but " + index.string() + " says it is there");
  }
  return {};
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::open(const std::filesystem::path& directory,
                                                     SafetensorsPart part) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(part));
  checkpoint->directory_ = directory;
  const auto single = directory / "model.safetensors";
  const auto index = directory / "model.safetensors.index.json";
  Status added;
  if (std::filesystem::exists(single)) {
    checkpoint->list_ = single;
    added = checkpoint->add_file(single);
  } else if (std::filesystem::exists(index)) {
    checkpoint->list_ = index;
    added = checkpoint->add_shards(index);
  } else {
    added = invalid(directory.string() +
                    ": has neither model.safetensors nor model.safetensors.index.json; a model in "
                    "another format can be converted with transformers: "
                    "from_pretrained(...).save_pretrained(...)");
  }
  if (!added) return tl::unexpected(added.error());
  return checkpoint;
}

std::optional<DType> Checkpoint::stored_dtype(std::string_view tensor) const {
  const auto it = tensors_.find(tensor);
  return it == tensors_.end() ? std::nullopt : float_type(it->second.entry.dtype);
}

std::vector<std::pair<std::string_view, const SafetensorsEntry*>> Checkpoint::entries() const {
  std::vector<std::pair<std::string_view, const SafetensorsEntry*>> all;
  for (const auto& [name, tensor] : tensors_) all.emplace_back(name, &tensor.entry);
  return all;
}

Result<std::size_t> Checkpoint::check(const TensorSpec& spec) const {
  const auto it = tensors_.find(spec.name);
  if (it == tensors_.end())
    return invalid(list_.string() + ": tensor '" + spec.name + "' of shape " +
                   shape_text(spec.shape) + " is missing");
  const SafetensorsEntry& entry = it->second.entry;
  const std::string place = it->second.file.string() + ": tensor '" + spec.name + "' has ";
  if (entry.shape != spec.shape)
    return invalid(place + "shape " + shape_text(entry.shape) + ", but config.json means " +
                   shape_text(spec.shape));
  if (!float_type(entry.dtype))
    return invalid(place + "dtype " + entry.dtype + "; supported: F32, F16, BF16");
  return entry.data.size();
}

void Checkpoint::begin(const TensorSpec& spec) const {
  expect_read(tensors_.find(spec.name)->second.entry.data);
}

void Checkpoint::end(const TensorSpec& spec) const {
  release_pages(tensors_.find(spec.name)->second.entry.data);
}

void Checkpoint::read(const TensorSpec& spec, const TensorSlice& slice) const {
  const SafetensorsEntry& entry = tensors_.find(spec.name)->second.entry;
  copy_slice({entry.data.data(), *float_type(entry.dtype), spec.rows(), spec.cols(), spec.cols()},
             slice);
}

}  // namespace dejavu
