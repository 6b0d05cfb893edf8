// The artifact on disk: what is saved comes back, and anything else is refused by name.
#include "sparsity/artifact.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <limits>

#include "engine/model/mapped_file.h"
#include "tests/support/tensor_file.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

PredictorWeights predictor(int input, int rank, int units, bool bottleneck) {
  PredictorWeights weights;
  weights.input = input;
  weights.rank = rank;
  weights.units = units;
  const auto count = [](int a, int b) { return static_cast<std::size_t>(a * b); };
  if (bottleneck) {
    weights.down.assign(count(rank, input), -7);
    weights.down_scale.assign(count(rank, 1), 0.5F);
  }
  weights.up.assign(count(units, rank), 127);
  weights.up_scale.assign(count(units, 1), 0.25F);
  weights.bias.assign(count(units, 1), -1.5F);
  weights.thresholds.assign(count(2, units), 0.75F);
  weights.thresholds[1] = -std::numeric_limits<float>::infinity();
  return weights;
}

Artifact two_layers() {
  Artifact artifact;
  artifact.fingerprint = "abc123";
  artifact.recommended = SparsityMode::kLookahead;
  artifact.reason = "22 % of the neurons give the same text";
  artifact.command = "dejavu calibrate MODEL";
  for (const double target : {0.9, 0.95}) {
    LevelFigures level;
    level.target_recall = target;
    level.perplexity_rise = 0.003;
    level.agreement = 0.97;
    level.mlp_density = 0.2;
    level.head_density = 0.6;
    SetFigures sparse;
    sparse.dense = false;
    sparse.density = 0.1;
    sparse.recall = target;
    sparse.union_density = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7};
    level.mlp = {SetFigures{}, sparse};
    level.heads = {SetFigures{}, sparse};
    artifact.lookahead_levels.push_back(level);
  }
  artifact.threshold_levels = {artifact.lookahead_levels.front()};
  artifact.default_lookahead_level = 1;
  artifact.default_threshold_level = 0;
  artifact.layers.resize(2);
  artifact.layers[1].mlp = predictor(8, 3, 5, true);
  artifact.layers[1].heads = predictor(8, 8, 2, false);
  artifact.layers[1].cutoffs = {0.1F, 0.2F, 0.3F, 0.4F, 0.5F};
  return artifact;
}

std::string read_text(const fs::path& path) {
  const auto file = MappedFile::open(path);
  REQUIRE(file);
  return std::string(file->text());
}

std::string refusal(const fs::path& directory, const std::string& fingerprint = "abc123") {
  const auto loaded = load_artifact(directory, fingerprint);
  REQUIRE_FALSE(loaded);
  return loaded.error().message;
}

void replace_in(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  write_text(path, text.replace(at, from.size(), to));
}

using Catch::Contains;

TEST_CASE("an artifact comes back as it was saved") {
  const TemporaryDirectory folder;
  const Artifact saved = two_layers();
  REQUIRE(save_artifact(folder.path() / "sparsity", saved));
  const auto loaded = load_artifact(folder.path() / "sparsity", "abc123");
  REQUIRE(loaded);
  CHECK(loaded->recommended == SparsityMode::kLookahead);
  CHECK(loaded->reason == saved.reason);
  CHECK(loaded->command == saved.command);
  CHECK(loaded->default_lookahead_level == 1);
  REQUIRE(loaded->lookahead_levels.size() == 2);
  const LevelFigures& level = loaded->lookahead_levels[1];
  CHECK(level.target_recall == 0.95);
  CHECK(level.perplexity_rise == 0.003);
  CHECK(level.mlp[0].dense);
  CHECK_FALSE(level.mlp[1].dense);
  CHECK(level.mlp[1].union_density == saved.lookahead_levels[1].mlp[1].union_density);
  CHECK_FALSE(loaded->layers[0].mlp);
  REQUIRE(loaded->layers[1].mlp);
  CHECK(loaded->layers[1].mlp->down == saved.layers[1].mlp->down);
  CHECK(loaded->layers[1].mlp->thresholds == saved.layers[1].mlp->thresholds);
  REQUIRE(loaded->layers[1].heads);
  CHECK(loaded->layers[1].heads->down.empty());
  CHECK(loaded->layers[1].heads->up == saved.layers[1].heads->up);
  CHECK(loaded->layers[1].cutoffs == saved.layers[1].cutoffs);
}

TEST_CASE("an artifact that does not fit is refused by name") {
  const TemporaryDirectory folder;
  const fs::path figures = folder.path() / "sparsity.json";
  const fs::path tensors = folder.path() / "predictors.safetensors";
  REQUIRE(save_artifact(folder.path(), two_layers()));

  SECTION("missing") { CHECK_THAT(refusal(folder.path() / "none"), Contains("sparsity.json")); }
  SECTION("another model") {
    CHECK_THAT(refusal(folder.path(), "def456"), Contains("another model"));
  }
  SECTION("another version") {
    replace_in(figures, "\"version\": 1", "\"version\": 2");
    CHECK_THAT(refusal(folder.path()), Contains("version 2"));
  }
  SECTION("truncated matrices") {
    const std::string text = read_text(tensors);
    write_text(tensors, text.substr(0, text.size() - 3));
    CHECK_THAT(refusal(folder.path()), Contains("predictors.safetensors"));
  }
  SECTION("truncated figures") {
    const std::string text = read_text(figures);
    write_text(figures, text.substr(0, text.size() / 2));
    CHECK_THAT(
        refusal(folder.path()),
        Contains("sparsity.json") && Contains("truncated or not JSON; run dejavu calibrate again"));
  }
  SECTION("a matrix of another shape") {
    replace_in(figures, "\"rank\": 3", "\"rank\": 4");
    CHECK_THAT(refusal(folder.path()), Contains("layers.1.mlp.down") && Contains("[4, 8]"));
  }
  SECTION("matrices of another run") {
    StoredTensors other = read_tensors(tensors);
    other["layers.1.mlp.up"].data[0] = std::byte{1};
    write_bytes(tensors, make_safetensors(other));
    CHECK_THAT(refusal(folder.path()), Contains("predictors.safetensors"));
  }
  SECTION("a level out of range") {
    replace_in(figures, "\"default_level\": 1", "\"default_level\": 7");
    CHECK_THAT(refusal(folder.path()), Contains("default_level"));
  }
}

TEST_CASE("a fingerprint names one model") {
  const TemporaryDirectory folder(DEJAVU_SOURCE_DIR "/tests/model/golden/opt");
  const auto own = model_fingerprint(folder.path());
  REQUIRE(own);
  CHECK(own->size() == 64);
  CHECK(model_fingerprint(folder.path()).value() == *own);

  SECTION("other weights") {
    StoredTensors tensors = read_tensors(folder.path() / "model.safetensors");
    auto& last = tensors.rbegin()->second.data.back();
    last = ~last;
    write_bytes(folder.path() / "model.safetensors", make_safetensors(tensors));
    CHECK(model_fingerprint(folder.path()).value() != *own);
  }
  SECTION("other settings") {
    replace_in(folder.path() / "config.json", "\"relu\"", "\"gelu\"");
    CHECK(model_fingerprint(folder.path()).value() != *own);
  }
}

}  // namespace
}  // namespace dejavu
