#include "sparsity/artifact.h"

#include <cstring>
#include <system_error>

#include "engine/model/json_text.h"
#include "engine/model/mapped_file.h"
#include "engine/model/safetensors.h"
#include "sparsity/artifact_json.h"
#include "sparsity/sha256.h"
#include "sparsity/tensor_writer.h"

namespace dejavu {
namespace {

constexpr const char* kTensorFile = "predictors.safetensors";
constexpr const char* kFiguresFile = "sparsity.json";
constexpr const char* kDigestKey = "predictors_sha256";

template <class T>
constexpr const char* tensor_dtype() {
  return sizeof(T) == 1 ? "I8" : "F32";
}

// Visits every tensor of an artifact with its name and shape, to write or to read it.
class Visitor {
 public:
  Visitor() = default;
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  virtual ~Visitor() = default;
  virtual void visit(const std::string& name, std::vector<std::int64_t> shape,
                     std::vector<std::int8_t>& values) = 0;
  virtual void visit(const std::string& name, std::vector<std::int64_t> shape,
                     std::vector<float>& values) = 0;
};

void visit_predictor(const std::string& prefix, std::int64_t levels, PredictorWeights& weights,
                     Visitor& visitor) {
  if (!weights.down.empty()) {
    visitor.visit(prefix + "down", {weights.rank, weights.input}, weights.down);
    visitor.visit(prefix + "down_scale", {weights.rank}, weights.down_scale);
  }
  visitor.visit(prefix + "up", {weights.units, weights.rank}, weights.up);
  visitor.visit(prefix + "up_scale", {weights.units}, weights.up_scale);
  visitor.visit(prefix + "bias", {weights.units}, weights.bias);
  visitor.visit(prefix + "thresholds", {levels, weights.units}, weights.thresholds);
}

void visit_tensors(Artifact& artifact, Visitor& visitor) {
  const auto lookahead = static_cast<std::int64_t>(artifact.lookahead_levels.size());
  const auto threshold = static_cast<std::int64_t>(artifact.threshold_levels.size());
  for (std::size_t l = 0; l < artifact.layers.size(); ++l) {
    LayerArtifact& layer = artifact.layers[l];
    const std::string prefix = "layers." + std::to_string(l) + ".";
    if (layer.mlp) visit_predictor(prefix + "mlp.", lookahead, *layer.mlp, visitor);
    if (layer.heads) visit_predictor(prefix + "heads.", lookahead, *layer.heads, visitor);
    if (layer.cutoffs.empty()) continue;
    const auto ffn =
        static_cast<std::int64_t>(layer.cutoffs.size()) / std::max<std::int64_t>(1, threshold);
    visitor.visit(prefix + "cutoffs", {threshold, ffn}, layer.cutoffs);
  }
}

class Writer final : public Visitor {
 public:
  void visit(const std::string& name, std::vector<std::int64_t> shape,
             std::vector<std::int8_t>& values) override {
    put(name, std::move(shape), values);
  }
  void visit(const std::string& name, std::vector<std::int64_t> shape,
             std::vector<float>& values) override {
    put(name, std::move(shape), values);
  }
  std::string bytes() const { return safetensors_bytes(tensors_); }

 private:
  template <class T>
  void put(const std::string& name, std::vector<std::int64_t> shape, const std::vector<T>& values) {
    tensors_[name] = {tensor_dtype<T>(), std::move(shape), std::as_bytes(std::span(values))};
  }

  TensorsToWrite tensors_;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

class Loader final : public Visitor {
 public:
  Loader(const SafetensorsHeader& header, std::string file)
      : header_(header), file_(std::move(file)) {}

  void visit(const std::string& name, std::vector<std::int64_t> shape,
             std::vector<std::int8_t>& values) override {
    get(name, shape, values);
  }
  void visit(const std::string& name, std::vector<std::int64_t> shape,
             std::vector<float>& values) override {
    get(name, shape, values);
  }
  const Status& status() const { return status_; }

 private:
  template <class T>
  void get(const std::string& name, const std::vector<std::int64_t>& shape,
           std::vector<T>& values) {
    if (!status_) return;
    const auto it = header_.find(name);
    if (it == header_.end()) {
      status_ = invalid(file_ + ": tensor '" + name + "' is missing; run dejavu calibrate again");
      return;
    }
    const SafetensorsEntry& entry = it->second;
    if (entry.dtype != tensor_dtype<T>() || entry.shape != shape) {
      status_ = invalid(file_ + ": tensor '" + name + "' is " + entry.dtype + " " +
                        shape_text(entry.shape) + ", but " + kFiguresFile + " means " +
                        tensor_dtype<T>() + " " + shape_text(shape));
      return;
    }
    values.resize(entry.data.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), entry.data.data(), entry.data.size());
  }

  const SafetensorsHeader& header_;
  std::string file_;
  Status status_;
};

std::string digest_of(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.add(bytes);
  return digest.hex();
}

Status check_version(const nlohmann::json& json, const std::string& name) {
  const auto version = json.find("version");
  if (version == json.end() || !version->is_number_integer())
    return invalid(name + ": has no \"version\": it is not a sparsity artifact");
  if (*version != kArtifactVersion)
    return invalid(name + ": is version " + version->dump() + ", and this program reads version " +
                   std::to_string(kArtifactVersion) + "; run dejavu calibrate again");
  return {};
}

}  // namespace

Status save_artifact(const std::filesystem::path& directory, const Artifact& artifact) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed)
    return fail(ErrorCode::kInternal, directory.string() + ": cannot be made: " + failed.message());
  Artifact copy = artifact;  // the visitor may change what it visits; the writer does not
  Writer writer;
  visit_tensors(copy, writer);
  const std::string tensors = writer.bytes();
  nlohmann::ordered_json json = artifact_to_json(artifact);
  json[kDigestKey] = digest_of(std::as_bytes(std::span(tensors)));
  if (Status written = write_whole_file(directory / kTensorFile, tensors); !written) return written;
  return write_whole_file(directory / kFiguresFile, json.dump(1) + "\n");
}

Result<Artifact> load_artifact(const std::filesystem::path& directory,
                               const std::string& model_fingerprint) {
  const std::filesystem::path figures_path = directory / kFiguresFile;
  const std::filesystem::path tensor_path = directory / kTensorFile;
  const auto figures = MappedFile::open(figures_path);
  if (!figures) return tl::unexpected(figures.error());
  const auto json = parse_json_object(figures->text(), figures_path.string());
  if (!json)
    return invalid(figures_path.string() + ": truncated or not JSON; run dejavu calibrate again");
  if (Status version = check_version(*json, figures_path.string()); !version)
    return tl::unexpected(version.error());
  auto artifact = artifact_from_json(*json, figures_path.string());
  if (!artifact) return artifact;
  if (artifact->fingerprint != model_fingerprint)
    return invalid(figures_path.string() + ": was made for another model (fingerprint " +
                   printable(artifact->fingerprint.substr(0, 12)) + ", this model has '" +
                   model_fingerprint.substr(0, 12) + "'); run dejavu calibrate for this one");

  const auto file = MappedFile::open(tensor_path);
  if (!file) return tl::unexpected(file.error());
  const auto header = parse_safetensors(file->bytes(), tensor_path.string());
  if (!header) return tl::unexpected(header.error());
  Loader loader(*header, tensor_path.string());
  visit_tensors(*artifact, loader);
  if (!loader.status()) return tl::unexpected(loader.status().error());
  const auto digest = json->find(kDigestKey);
  if (digest == json->end() || *digest != digest_of(file->bytes()))
    return invalid(tensor_path.string() + ": is not the file that " + kFiguresFile +
                   " was written with; run dejavu calibrate again");
  return artifact;
}

}  // namespace dejavu
