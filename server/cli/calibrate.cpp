// `dejavu calibrate`: trains a model's predictors on a text and writes its artifact.
#include "sparsity/calibration/calibrate.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/backend/factory.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/cli/text_windows.h"
#include "server/load_progress.h"
#include "server/model_stack.h"
#include "sparsity/artifact_json.h"
#include "sparsity/runtime.h"

namespace dejavu {
namespace {

constexpr int kQuickTokens = 1 << 18;
constexpr int kFullTokens = 1 << 20;
// Of the windows held out, those that levels are measured on.
constexpr std::size_t kMeasuredWindows = 48;
constexpr std::size_t kHeldOutShare = 8;

Result<CalibrationOptions> calibration_options(const Config& config) {
  CalibrationOptions options = config.calibration;
  const std::vector<std::string>& texts = config.evaluation.target_recalls;
  if (texts.empty()) return options;
  options.target_recalls.clear();
  for (const std::string& text : texts) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value <= 0 || value >= 1)
      return invalid("--target-recall: '" + text + "' is no number between 0 and 1",
                     "target-recall");
    options.target_recalls.push_back(value);
  }
  std::sort(options.target_recalls.begin(), options.target_recalls.end());
  return options;
}

struct Workplace {
  const Config& config;
  const ModelLocation& location;
  Backend& backend;
};

// Calibration keeps what a server uses: the stored type unless told otherwise.
Result<std::unique_ptr<Transformer>> load(const Workplace& place, const ProbedLayers& layers) {
  TransformerOptions options = window_options(kTextWindow);
  options.dtype = transformer_options(place.config).dtype;
  options.layers = &layers;
  return load_transformer(place.location, place.backend, options);
}

Result<Artifact> train(const Workplace& place, std::span<const TokenWindow> windows,
                       const CalibrationOptions& options) {
  const DenseLayerFactory dense;
  ProbedLayers layers(dense);
  const auto model = load(place, layers);
  if (!model) return tl::unexpected(model.error());
  const std::int64_t tokens = token_count(windows);
  std::printf("%s, %s; %lld tokens, at most %s of memory for activations\n",
              place.location.name.c_str(), place.backend.info().description.c_str(),
              static_cast<long long>(tokens),
              format_bytes(calibration_bytes((*model)->config(), tokens)).c_str());
  std::string stage;
  std::optional<StepProgress> display;
  const auto progress = [&](const std::string& what, int done, int total) {
    if (what != stage) display.emplace(stage = what);
    if (done % 16 == 0 || done == total) display->update(done, total);
  };
  const auto trained =
      calibrate_layers({**model, layers, place.backend, windows}, options, progress);
  if (!trained) return tl::unexpected(trained.error());
  return make_levels(*trained, options);
}

Status measure(const Workplace& place, std::span<const TokenWindow> windows, Artifact& artifact) {
  SparsityRuntime::Parts parts;
  parts.options.mode = SparsityDefault::kDense;  // every row says its own
  parts.options.audit_interval = 0;
  parts.artifact = artifact;
  SparsityRuntime runtime(std::move(parts));
  ProbedLayers layers(runtime);
  const auto model = load(place, layers);
  if (!model) return tl::unexpected(model.error());
  if (Status ready = runtime.prepare(); !ready) return ready;
  std::fprintf(stderr, "measuring %zu levels on %zu windows held out\n",
               artifact.lookahead_levels.size(), windows.size());
  return measure_levels({**model, layers, place.backend, runtime, runtime, windows}, artifact);
}

void print_levels(const Artifact& artifact) {
  std::printf("%-13s %11s %12s %11s %10s\n", "target recall", "MLP density", "head density",
              "perplexity", "agreement");
  for (const LevelFigures& level : artifact.lookahead_levels)
    std::printf("%-13g %10.1f%% %11.1f%% %+10.2f%% %9.1f%%\n", level.target_recall,
                100 * level.mlp_density, 100 * level.head_density, 100 * level.perplexity_rise,
                100 * level.agreement);
  std::printf("%s: %s\n", std::string(mode_name(artifact.recommended)).c_str(),
              artifact.reason.c_str());
}

}  // namespace

Result<int> run_calibrate(const CommandLine& line) {
  const Config& config = line.config;
  const auto options = calibration_options(config);
  if (!options) return tl::unexpected(options.error());
  if (config.text.out_directory.empty())
    return invalid("--out: name the folder for the artifact, as MODEL/sparsity", "out");
  const auto location = locate_model(config.model.model, config.model.offline);
  if (!location) return tl::unexpected(location.error());
  const bool full = options->effort == CalibrationEffort::kFull;
  const auto windows = read_windows(config.text, *location, full ? kFullTokens : kQuickTokens);
  if (!windows) return tl::unexpected(windows.error());
  if (windows->size() < kHeldOutShare)
    return invalid("--text: too short: give at least " + std::to_string(kHeldOutShare) +
                       " windows of " + std::to_string(kTextWindow) + " tokens",
                   "text");
  const auto fingerprint = model_fingerprint(location->directory);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  const auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());

  const Workplace place{config, *location, **backend};
  auto artifact = train(place, *windows, *options);
  if (!artifact) return tl::unexpected(artifact.error());
  artifact->fingerprint = *fingerprint;
  artifact->command = "dejavu calibrate " + non_default_options(line);
  const std::size_t measured = std::min(kMeasuredWindows, windows->size() / kHeldOutShare);
  const Status done = measure(place, std::span(*windows).last(measured), *artifact);
  if (!done) return tl::unexpected(done.error());
  recommend(options->quality_budget, *artifact);
  if (Status saved = save_artifact(config.text.out_directory, *artifact); !saved)
    return tl::unexpected(saved.error());
  print_levels(*artifact);
  return write_json_file(config.client.json_file, artifact_to_json(*artifact)).map([] {
    return 0;
  });
}

}  // namespace dejavu
