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
#include "sparsity/calibration/recommendation.h"
#include "sparsity/runtime.h"
#include "sparsity/sha256.h"

namespace dejavu {
namespace {

constexpr int kQuickTokens = 1 << 18;
constexpr int kFullTokens = 1 << 20;
constexpr std::size_t kTrialWindows = 6;  // enough to compare layers

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

// Tells layers made from other weights, text or options apart.
std::string layers_key(const std::string& fingerprint, const CalibrationOptions& options,
                       std::span<const TokenWindow> text) {
  Sha256 digest;
  for (const TokenWindow& window : text) digest.add(std::as_bytes(std::span(window)));
  return fingerprint + " " + digest.hex() + " rank " + std::to_string(options.rank) +
         (options.train ? " trained" : " start") +
         (options.effort == CalibrationEffort::kFull ? " full" : " quick");
}

struct Workplace {
  const Config& config;
  const ModelLocation& location;
  const ModelConfig& model;
  Backend& backend;
  const CalibrationOptions& options;
  const SavedLayers& saved;
};

class Display {
 public:
  void operator()(const std::string& what, int done, int total) {
    if (what != stage_) progress_.emplace(stage_ = what);
    if (done % 16 == 0 || done == total) progress_->update(done, total);
  }

 private:
  std::string stage_;
  std::optional<StepProgress> progress_;
};

// Calibration keeps what a server uses: the stored type unless told otherwise.
Result<std::unique_ptr<Transformer>> load(const Workplace& place, const ProbedLayers& layers) {
  TransformerOptions options = window_options(kTextWindow);
  options.dtype = transformer_options(place.config).dtype;
  options.layers = &layers;
  return load_transformer(place.location, place.backend, options);
}

Result<std::vector<CalibratedLayer>> train(const Workplace& place, const TextSplits& text,
                                           const CalibrationProgress& progress) {
  const DenseLayerFactory dense;
  ProbedLayers layers(dense);
  const auto model = load(place, layers);
  if (!model) return tl::unexpected(model.error());
  const std::int64_t tokens = token_count(text.train_and_choose);
  std::printf(
      "%s, %s; %lld tokens to train on, %lld to choose levels on, %lld to measure them on; at most "
      "%s of memory for activations\n",
      place.location.name.c_str(), place.backend.info().description.c_str(),
      static_cast<long long>(token_count(text.train)),
      static_cast<long long>(token_count(text.choose)),
      static_cast<long long>(token_count(text.measure)),
      format_bytes(calibration_bytes((*model)->config(), tokens)).c_str());
  return calibrate_layers({{**model, layers, place.backend, text.train_and_choose},
                           token_count(text.choose),
                           place.options,
                           place.saved},
                          progress);
}

// Calls use(EvaluateArgs) with a model that serves the artifact.
template <class Use>
Status with_artifact(const Workplace& place, const Artifact& artifact,
                     std::span<const TokenWindow> windows, const Use& use) {
  SparsityRuntime::Parts parts;
  parts.options.mode = SparsityDefault::kDense;  // every row says its own
  parts.options.audit_interval = 0;
  parts.artifact = artifact;
  parts.crossover = Crossover{};  // how it is computed changes no figure
  SparsityRuntime runtime(std::move(parts));
  ProbedLayers layers(runtime);
  const auto model = load(place, layers);
  if (!model) return tl::unexpected(model.error());
  if (Status ready = runtime.prepare(); !ready) return ready;
  return use(EvaluateArgs{**model, layers, place.backend, runtime, runtime, windows});
}

// What leaving a group of heads out is worth, in neurons: at batch 1 what it reads, its rows of Q
// and of the output projection against a neuron's of two or three projections. A group also saves
// its reads of K and V, and it saves them at any batch, where neurons' unions fill up: so it counts
// several times its bytes. How often was found by trial on the demo model.
double group_worth(const ModelConfig& config) {
  constexpr double kTimesBytes = 10;
  const double rows = 2.0 * config.heads / config.kv_heads * config.head_dim;
  return kTimesBytes * rows / (config.gated_mlp ? 3 : 2);
}

Result<Artifact> calibrate(const Workplace& place, const TextSplits& text) {
  Display display;
  const CalibrationProgress progress = std::ref(display);
  auto layers = train(place, text, progress);
  if (!layers) return tl::unexpected(layers.error());

  if (!place.config.evaluation.heads)
    for (CalibratedLayer& layer : *layers) layer.heads.reset();
  const Trials trials = make_trials(*layers);
  const auto few = text.choose.first(std::min(kTrialWindows, text.choose.size()));
  Status done = with_artifact(place, trials.artifact, few, [&](const EvaluateArgs& args) {
    return weigh_by_trials(args, trials, progress, *layers);
  });
  if (!done) return tl::unexpected(done.error());

  Artifact artifact =
      make_levels(*layers, {place.options.target_recalls, group_worth(place.model)});
  const auto measure_on = [&](std::span<const TokenWindow> windows) {
    return with_artifact(place, artifact, windows, [&](const EvaluateArgs& args) {
      return measure_levels(args, progress, artifact);
    });
  };
  if (done = measure_on(text.choose); !done) return tl::unexpected(done.error());
  const std::vector<double> on_choose = perplexity_rises(artifact);
  if (done = measure_on(text.measure); !done) return tl::unexpected(done.error());
  const std::vector<double> on_measure = perplexity_rises(artifact);
  const RecommendationArgs recommendation{place.model, place.options.quality_budget};
  // The two texts are equally long, and half the length would err by 1.4 times as much.
  set_perplexity_rises(over_both_texts(on_choose, on_measure), artifact);
  choose_default(recommendation, artifact);
  set_perplexity_rises(on_measure, artifact);
  explain_default(recommendation, artifact);
  return artifact;
}

void print_levels(const Artifact& artifact) {
  std::printf("%-9s %13s %11s %12s %11s %10s\n", "mode", "target recall", "MLP density",
              "head density", "perplexity", "agreement");
  const auto print = [](const char* mode, const std::vector<LevelFigures>& levels) {
    for (const LevelFigures& level : levels)
      std::printf("%-9s %13g %10.1f%% %11.1f%% %+10.2f%% %9.1f%%\n", mode, level.target_recall,
                  100 * level.mlp_density, 100 * level.head_density, 100 * level.perplexity_rise,
                  100 * level.agreement);
  };
  print("lookahead", artifact.lookahead_levels);
  print("threshold", artifact.threshold_levels);
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
  if (windows->size() < kFewestWindows)
    return invalid("--text: too short: give at least " + std::to_string(kFewestWindows) +
                       " windows of " + std::to_string(kTextWindow) + " tokens",
                   "text");
  const auto model = ModelConfig::from_file(location->directory / "config.json");
  if (!model) return tl::unexpected(model.error());
  const auto fingerprint = model_fingerprint(location->directory);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  const auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());

  const TextSplits text = split_text(*windows);
  const SavedLayers saved(config.text.out_directory,
                          layers_key(*fingerprint, *options, text.train_and_choose));
  auto artifact = calibrate({config, *location, *model, **backend, *options, saved}, text);
  if (!artifact) return tl::unexpected(artifact.error());
  artifact->fingerprint = *fingerprint;
  artifact->command = "dejavu calibrate " + non_default_options(line);
  if (Status done = save_artifact(config.text.out_directory, *artifact); !done)
    return tl::unexpected(done.error());
  saved.remove();
  print_levels(*artifact);
  return write_json_file(config.client.json_file, artifact_to_json(*artifact)).map([] {
    return 0;
  });
}

}  // namespace dejavu
