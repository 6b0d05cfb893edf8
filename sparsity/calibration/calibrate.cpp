#include "sparsity/calibration/calibrate.h"

#include <algorithm>

namespace dejavu {
namespace {

constexpr std::int64_t kHeldOutShare = 8;
constexpr std::int64_t kMostHeldOut = 32768;

bool exact_zeros(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kRelu2 ||
         activation == Activation::kFatRelu;
}

LessonShape lesson_shape(const ModelConfig& config, std::int64_t tokens) {
  LessonShape shape;
  shape.tokens = tokens;
  shape.held_out = std::min(tokens / kHeldOutShare, kMostHeldOut);
  shape.ffn = config.ffn_size;
  shape.groups = config.kv_heads;
  shape.exact_zeros = exact_zeros(config.activation);
  return shape;
}

PredictorOptions predictor_options(const CalibrationOptions& options) {
  PredictorOptions predictor;
  predictor.rank = options.rank;
  predictor.train = options.train;
  if (options.effort == CalibrationEffort::kFull) predictor.training.steps *= 6;
  return predictor;
}

}  // namespace

std::size_t calibration_bytes(const ModelConfig& config, std::int64_t tokens) {
  const LessonShape shape = lesson_shape(config, tokens);
  const auto count = static_cast<std::size_t>(tokens);
  // Four boundaries and the normalised inputs; labels twice; costs of the tokens held out.
  return count * static_cast<std::size_t>(config.hidden_size) * 2 * 5 +
         count * static_cast<std::size_t>(mask_words(config.ffn_size)) * 4 * 2 +
         static_cast<std::size_t>(shape.held_out) * static_cast<std::size_t>(config.ffn_size) * 4;
}

Result<std::vector<CalibratedLayer>> calibrate_layers(const LayerStream::Args& args,
                                                      const CalibrationOptions& options,
                                                      const CalibrationProgress& progress) {
  const ModelConfig& config = args.model.config();
  const LessonShape shape = lesson_shape(config, token_count(args.windows));
  const PredictorOptions predictor = predictor_options(options);
  auto stream = LayerStream::create(args);
  if (!stream) return tl::unexpected(stream.error());
  std::vector<CalibratedLayer> layers;
  for (int l = 0; l < config.layers; ++l) {
    const std::string layer =
        "layer " + std::to_string(l + 1) + " of " + std::to_string(config.layers) + ": ";
    const auto tell = [&](const char* what) {
      return [&progress, text = layer + what](int done, int total) {
        if (progress) progress(text, done, total);
      };
    };
    const Streams before = (*stream)->before();
    LayerLesson lesson(shape);
    const auto entering = (*stream)->run_layer(lesson, tell("collecting"));
    if (!entering) return tl::unexpected(entering.error());
    auto neurons =
        calibrate_neurons(lesson, *entering, predictor, args.backend, tell("training neurons"));
    if (!neurons) return tl::unexpected(neurons.error());
    layers.push_back({std::move(*neurons), {}});
    if (l == 0) continue;
    auto heads = calibrate_heads(lesson, before, predictor, args.backend, tell("training heads"));
    if (!heads) return tl::unexpected(heads.error());
    layers.back().heads = std::move(*heads);
  }
  return layers;
}

Status measure_levels(const EvaluateArgs& args, Artifact& artifact) {
  std::vector<EvaluationChoice> choices;
  for (const LevelFigures& level : artifact.lookahead_levels)
    choices.push_back(
        {{SparsityMode::kLookahead, static_cast<int>(choices.size())}, level.target_recall});
  const auto rows = evaluate(args, choices, {});
  if (!rows) return tl::unexpected(rows.error());
  const double dense = rows->front().perplexity;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    LevelFigures& level = artifact.lookahead_levels[i];
    const EvaluationRow& row = (*rows)[i + 1];
    level.perplexity_rise = row.perplexity / dense - 1;
    level.agreement = row.agreement;
  }
  return {};
}

}  // namespace dejavu
