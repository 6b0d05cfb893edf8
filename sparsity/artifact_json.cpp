#include "sparsity/artifact_json.h"

#include <algorithm>
#include <cmath>

namespace dejavu {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kModeNames = {"dense", "exact", "threshold", "lookahead"};
constexpr int kLargestSize = 1 << 24;

ordered_json sets_to_json(const std::vector<SetFigures>& sets) {
  ordered_json all = ordered_json::array();
  for (const SetFigures& set : sets)
    all.push_back({{"dense", set.dense},
                   {"density", set.density},
                   {"recall", set.recall},
                   {"union_density", set.union_density}});
  return all;
}

ordered_json levels_to_json(const std::vector<LevelFigures>& levels, int default_level) {
  ordered_json all = ordered_json::array();
  for (const LevelFigures& level : levels)
    all.push_back({{"target_recall", level.target_recall},
                   {"perplexity_rise", level.perplexity_rise},
                   {"agreement", level.agreement},
                   {"mlp_density", level.mlp_density},
                   {"head_density", level.head_density},
                   {"mlp", sets_to_json(level.mlp)},
                   {"heads", sets_to_json(level.heads)}});
  return {{"default_level", default_level}, {"levels", std::move(all)}};
}

ordered_json sizes_to_json(const std::optional<PredictorWeights>& weights) {
  if (!weights) return nullptr;
  return {{"input", weights->input},
          {"rank", weights->rank},
          {"units", weights->units},
          {"bottleneck", !weights->down.empty()}};
}

// Reads fields one after the other and keeps the first fault.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  const json& child(const json& parent, const char* key) {
    static const json kNothing;
    const auto it = parent.is_object() ? parent.find(key) : parent.end();
    if (!parent.is_object() || it == parent.end()) {
      refuse(key, "is missing");
      return kNothing;
    }
    return *it;
  }
  double number(const json& parent, const char* key, double low, double high) {
    const json& value = child(parent, key);
    const double read = value.is_number() ? value.get<double>() : std::nan("");
    if (!(read >= low && read <= high)) refuse(key, "is not a number in its range");
    return read;
  }
  int size(const json& parent, const char* key, int low) {
    return static_cast<int>(number(parent, key, low, kLargestSize));
  }
  bool flag(const json& parent, const char* key) {
    const json& value = child(parent, key);
    if (!value.is_boolean()) refuse(key, "is not true or false");
    return value.is_boolean() && value.get<bool>();
  }
  std::string text(const json& parent, const char* key) {
    const json& value = child(parent, key);
    if (!value.is_string()) refuse(key, "is not a string");
    return value.is_string() ? value.get<std::string>() : std::string();
  }
  void refuse(const std::string& key, const std::string& fault) {
    if (status_) status_ = invalid(name_ + ": \"" + key + "\" " + fault);
  }
  const Status& status() const { return status_; }

 private:
  std::string name_;
  Status status_;
};

std::vector<SetFigures> read_sets(const json& sets, std::size_t layers, Reader& reader) {
  std::vector<SetFigures> all;
  if (!sets.is_array() || sets.size() != layers) {
    reader.refuse("levels", "have not one entry a layer");
    return all;
  }
  for (const json& entry : sets) {
    SetFigures set;
    set.dense = reader.flag(entry, "dense");
    set.density = reader.number(entry, "density", 0, 1);
    set.recall = reader.number(entry, "recall", 0, 1);
    const json& unions = reader.child(entry, "union_density");
    if (!unions.is_array() || unions.size() != set.union_density.size()) {
      reader.refuse("union_density", "has not one number a batch size");
      return all;
    }
    for (std::size_t i = 0; i < unions.size(); ++i)
      set.union_density[i] = unions[i].is_number() ? unions[i].get<double>() : 1.0;
    all.push_back(set);
  }
  return all;
}

std::vector<LevelFigures> read_levels(const json& mode, std::size_t layers, int& default_level,
                                      Reader& reader) {
  std::vector<LevelFigures> all;
  const json& levels = reader.child(mode, "levels");
  if (!levels.is_array()) {
    reader.refuse("levels", "is not a list");
    return all;
  }
  for (const json& entry : levels) {
    LevelFigures level;
    level.target_recall = reader.number(entry, "target_recall", 0, 1);
    level.perplexity_rise = reader.number(entry, "perplexity_rise", -1, 1e9);
    level.agreement = reader.number(entry, "agreement", 0, 1);
    level.mlp_density = reader.number(entry, "mlp_density", 0, 1);
    level.head_density = reader.number(entry, "head_density", 0, 1);
    level.mlp = read_sets(reader.child(entry, "mlp"), layers, reader);
    level.heads = read_sets(reader.child(entry, "heads"), layers, reader);
    all.push_back(std::move(level));
  }
  default_level = static_cast<int>(
      reader.number(mode, "default_level", -1, static_cast<double>(levels.size()) - 1));
  return all;
}

std::optional<PredictorWeights> read_sizes(const json& sizes, Reader& reader) {
  if (sizes.is_null()) return {};
  PredictorWeights weights;
  weights.input = reader.size(sizes, "input", 1);
  weights.rank = reader.size(sizes, "rank", 1);
  weights.units = reader.size(sizes, "units", 1);
  if (reader.flag(sizes, "bottleneck")) {
    weights.down.resize(1);  // tells the reader of the matrices that there is one
  } else if (weights.rank != weights.input) {
    reader.refuse("rank", "differs from the input of a predictor without a bottleneck");
  }
  return weights;
}

SparsityMode read_mode(const std::string& name, Reader& reader) {
  const auto found = std::find(kModeNames.begin(), kModeNames.end(), name);
  if (found == kModeNames.end()) reader.refuse("recommended", "is no mode");
  return found == kModeNames.end() ? SparsityMode::kDense
                                   : static_cast<SparsityMode>(found - kModeNames.begin());
}

}  // namespace

std::string_view mode_name(SparsityMode mode) { return kModeNames[static_cast<std::size_t>(mode)]; }

nlohmann::ordered_json artifact_to_json(const Artifact& artifact) {
  ordered_json layers = ordered_json::array();
  for (const LayerArtifact& layer : artifact.layers)
    layers.push_back({{"mlp", sizes_to_json(layer.mlp)},
                      {"heads", sizes_to_json(layer.heads)},
                      {"cutoffs", layer.cutoffs.size()}});
  return {
      {"version", kArtifactVersion},
      {"model_fingerprint", artifact.fingerprint},
      {"command", artifact.command},
      {"recommended", mode_name(artifact.recommended)},
      {"reason", artifact.reason},
      {"foresight",
       "neurons: the residual stream entering the attention block of their layer; "
       "heads: the one entering the MLP block before"},
      {"union_batches", kUnionBatches},
      {"lookahead", levels_to_json(artifact.lookahead_levels, artifact.default_lookahead_level)},
      {"threshold", levels_to_json(artifact.threshold_levels, artifact.default_threshold_level)},
      {"layers", std::move(layers)}};
}

Result<Artifact> artifact_from_json(const nlohmann::json& object, const std::string& name) {
  Reader reader(name);
  Artifact artifact;
  artifact.fingerprint = reader.text(object, "model_fingerprint");
  artifact.command = reader.text(object, "command");
  artifact.recommended = read_mode(reader.text(object, "recommended"), reader);
  artifact.reason = reader.text(object, "reason");
  const json& layers = reader.child(object, "layers");
  if (!layers.is_array()) reader.refuse("layers", "is not a list");
  if (!reader.status()) return tl::unexpected(reader.status().error());
  artifact.lookahead_levels = read_levels(reader.child(object, "lookahead"), layers.size(),
                                          artifact.default_lookahead_level, reader);
  artifact.threshold_levels = read_levels(reader.child(object, "threshold"), layers.size(),
                                          artifact.default_threshold_level, reader);
  for (const json& entry : layers) {
    LayerArtifact layer;
    layer.mlp = read_sizes(reader.child(entry, "mlp"), reader);
    layer.heads = read_sizes(reader.child(entry, "heads"), reader);
    layer.cutoffs.resize(static_cast<std::size_t>(reader.size(entry, "cutoffs", 0)));
    artifact.layers.push_back(std::move(layer));
  }
  if (!reader.status()) return tl::unexpected(reader.status().error());
  return artifact;
}

}  // namespace dejavu
