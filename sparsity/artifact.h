// What `dejavu calibrate` writes and a server reads: predictors.safetensors and sparsity.json in
// one folder. Plain data on the host. An artifact belongs to one model, named by its fingerprint.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "engine/model/sparsity_choice.h"

namespace dejavu {

inline constexpr int kArtifactVersion = 1;
// Batch sizes for which a union's density is recorded.
inline constexpr std::array<int, 7> kUnionBatches = {1, 2, 4, 8, 16, 32, 64};

// 8-bit rows with a scale each, as PredictorView reads them (engine/backend/backend.h).
struct PredictorWeights {
  int input = 0;
  int rank = 0;  // heads' router: the input's width, and no `down`
  int units = 0;
  std::vector<std::int8_t> down;  // [rank][input]; empty: none
  std::vector<float> down_scale;  // [rank]
  std::vector<std::int8_t> up;    // [units][rank]
  std::vector<float> up_scale;    // [units]
  std::vector<float> bias;        // [units]
  std::vector<float> thresholds;  // [levels][units]; -infinity in a layer that is dense at a level
};

struct LayerArtifact {
  std::optional<PredictorWeights> mlp;    // none: dense at every level
  std::optional<PredictorWeights> heads;  // likewise; never for layer 0
  std::vector<float> cutoffs;             // [levels][ffn], for kThreshold; empty: mode not there
};

// One layer's neurons or heads at one level, measured on held-out text.
struct SetFigures {
  bool dense = true;
  double density = 1;  // mean over tokens
  double recall = 1;   // of the units that are truly active
  std::array<double, kUnionBatches.size()> union_density = {1, 1, 1, 1, 1, 1, 1};
};

struct LevelFigures {
  double target_recall = 1;
  double perplexity_rise = 0;  // relative to dense: 0.003 is 0.3 %
  double agreement = 1;        // share of positions with the dense model's next token
  double mlp_density = 1;
  double head_density = 1;
  std::vector<SetFigures> mlp;    // a layer each
  std::vector<SetFigures> heads;  // a layer each
};

struct Artifact {
  std::string fingerprint;
  // What `auto` does, and why, in one sentence with figures.
  SparsityMode recommended = SparsityMode::kDense;
  std::string reason;
  // The two modes need not have the same levels; a request's target_recall must be one of them.
  std::vector<LevelFigures> lookahead_levels;
  std::vector<LevelFigures> threshold_levels;
  int default_lookahead_level = -1;
  int default_threshold_level = -1;
  std::vector<LayerArtifact> layers;
  std::string command;  // how it was made
};

// SHA-256, hex, over config.json's fields, every tensor's name, type and shape, and sampled bytes
// of the weights: another checkpoint of the same architecture differs.
Result<std::string> model_fingerprint(const std::filesystem::path& model_directory);

// Writes both files beside their final names and renames them, so that an interrupted write leaves
// the old artifact.
Status save_artifact(const std::filesystem::path& directory, const Artifact& artifact);
// Errors name the file: missing, truncated, another version, another model's fingerprint, a tensor
// of the wrong shape.
Result<Artifact> load_artifact(const std::filesystem::path& directory,
                               const std::string& model_fingerprint);

}  // namespace dejavu
