#include "sparsity/calibration/progress.h"

#include <cstring>
#include <system_error>

#include "engine/model/mapped_file.h"
#include "engine/model/safetensors.h"
#include "sparsity/tensor_writer.h"

namespace dejavu {
namespace {

constexpr const char* kKey = "key";

// The same walk over arrays writes and reads them.
template <class Visit>
void visit_curves(const std::string& prefix, ScoreCurves::Counts& counts, const Visit& visit) {
  visit(prefix + "all", counts.all);
  visit(prefix + "active", counts.active);
  visit(prefix + "cost", counts.cost);
}

template <class Visit>
void visit_predictor(const std::string& prefix, CalibratedPredictor& predictor,
                     ScoreCurves::Counts& counts, const Visit& visit) {
  visit(prefix + "down", predictor.weights.down);
  visit(prefix + "down_scale", predictor.weights.down_scale);
  visit(prefix + "up", predictor.weights.up);
  visit(prefix + "up_scale", predictor.weights.up_scale);
  visit(prefix + "bias", predictor.weights.bias);
  visit_curves(prefix, counts, visit);
}

template <class T>
constexpr const char* dtype_of() {
  return sizeof(T) == 1 ? "I8" : sizeof(T) == 4 ? "F32" : "F64";
}

class Writer {
 private:
  auto put_array() {
    return [this](const std::string& tensor, const auto& values) {
      using T = typename std::decay_t<decltype(values)>::value_type;
      add(tensor, dtype_of<T>(), std::as_bytes(std::span(values)), sizeof(T));
    };
  }

 public:
  void put(const std::string& name, CalibratedPredictor predictor) {
    ScoreCurves::Counts counts = predictor.curves.counts();
    visit_predictor(name, predictor, counts, put_array());
    const PredictorWeights& weights = predictor.weights;
    const std::array<double, 6> figures = {static_cast<double>(weights.input),
                                           static_cast<double>(weights.rank),
                                           static_cast<double>(weights.units),
                                           static_cast<double>(counts.tokens),
                                           predictor.first_recall,
                                           predictor.recall};
    add(name + "figures", "F64", std::as_bytes(std::span(figures)), sizeof(double));
  }
  void put(const std::string& name, const ScoreCurves& curves) {
    ScoreCurves::Counts counts = curves.counts();
    visit_curves(name, counts, put_array());
    const auto tokens = static_cast<double>(counts.tokens);
    add(name + "tokens", "F64", std::as_bytes(std::span(&tokens, 1)), sizeof(double));
  }
  void add(const std::string& name, const char* dtype, std::span<const std::byte> bytes,
           std::size_t element) {
    std::vector<std::byte>& kept = bytes_[name];
    kept.assign(bytes.begin(), bytes.end());
    tensors_[name] = {dtype, {static_cast<std::int64_t>(bytes.size() / element)}, kept};
  }
  std::string file() const { return safetensors_bytes(tensors_); }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
  TensorsToWrite tensors_;
};

class Reader {
 public:
  explicit Reader(const SafetensorsHeader& header) : header_(header) {}

  template <class T>
  void get(const std::string& name, std::vector<T>& values) {
    const auto it = header_.find(name);
    if (it == header_.end() || it->second.dtype != dtype_of<T>()) {
      whole_ = false;
      return;
    }
    values.resize(it->second.data.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), it->second.data.data(), it->second.data.size());
  }
  std::optional<CalibratedPredictor> predictor(const std::string& name) {
    std::vector<double> figures;
    get(name + "figures", figures);
    if (figures.size() != 6) return {};
    CalibratedPredictor read{{}, ScoreCurves(0), figures[4], figures[5]};
    ScoreCurves::Counts counts;
    visit_predictor(name, read, counts,
                    [this](const std::string& tensor, auto& values) { get(tensor, values); });
    read.weights.input = static_cast<int>(figures[0]);
    read.weights.rank = static_cast<int>(figures[1]);
    read.weights.units = static_cast<int>(figures[2]);
    counts.tokens = static_cast<std::int64_t>(figures[3]);
    read.curves = ScoreCurves(read.weights.units, std::move(counts));
    if (!whole_) return {};
    return read;
  }
  std::optional<ScoreCurves> curves(const std::string& name, int units) {
    std::vector<double> tokens;
    get(name + "tokens", tokens);
    ScoreCurves::Counts counts;
    visit_curves(name, counts,
                 [this](const std::string& tensor, auto& values) { get(tensor, values); });
    if (!whole_ || tokens.size() != 1) return {};
    counts.tokens = static_cast<std::int64_t>(tokens.front());
    return ScoreCurves(units, std::move(counts));
  }

 private:
  const SafetensorsHeader& header_;
  bool whole_ = true;
};

}  // namespace

SavedLayers::SavedLayers(const std::filesystem::path& directory, std::string key)
    : directory_(directory.empty() ? directory : directory / "unfinished"), key_(std::move(key)) {}

std::filesystem::path SavedLayers::path(int index) const {
  return directory_ / ("layer-" + std::to_string(index) + ".safetensors");
}

Status SavedLayers::save(int index, const CalibratedLayer& layer) const {
  if (directory_.empty()) return {};
  std::error_code failed;
  std::filesystem::create_directories(directory_, failed);
  if (failed)
    return fail(ErrorCode::kInternal,
                directory_.string() + ": cannot be made: " + failed.message());
  Writer writer;
  writer.add(kKey, "I8", std::as_bytes(std::span(key_)), 1);
  writer.put("neurons.", layer.neurons);
  writer.put("gates.", layer.gates);
  if (layer.heads) writer.put("heads.", *layer.heads);
  return write_whole_file(path(index), writer.file());
}

std::optional<CalibratedLayer> SavedLayers::load(int index) const {
  std::error_code error;
  if (directory_.empty() || !std::filesystem::exists(path(index), error)) return {};
  const auto file = MappedFile::open(path(index));
  if (!file) return {};
  const auto header = parse_safetensors(file->bytes(), path(index).string());
  if (!header) return {};
  Reader reader(*header);
  std::vector<std::int8_t> key;
  reader.get(kKey, key);
  if (std::string(key.begin(), key.end()) != key_) return {};
  auto neurons = reader.predictor("neurons.");
  if (!neurons) return {};
  auto gates = reader.curves("gates.", neurons->weights.units);
  if (!gates) return {};
  CalibratedLayer layer{*std::move(neurons), {}, *std::move(gates)};
  if (header->find("heads.figures") == header->end()) return layer;
  layer.heads = reader.predictor("heads.");
  if (!layer.heads) return {};
  return layer;
}

void SavedLayers::remove() const {
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

}  // namespace dejavu
