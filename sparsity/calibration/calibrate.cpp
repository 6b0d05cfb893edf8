#include "sparsity/calibration/calibrate.h"

#include <algorithm>

#include "sparsity/modes.h"

namespace dejavu {
namespace {

constexpr std::size_t kHeldOutShare = 8;
constexpr std::size_t kMostHeldOut = 64;  // windows

LessonShape lesson_shape(const ModelConfig& config, std::int64_t tokens) {
  LessonShape shape;
  shape.tokens = tokens;
  shape.ffn = config.ffn_size;
  shape.groups = config.kv_heads;
  shape.exact_zeros = has_exact_zeros(config.activation);
  return shape;
}

PredictorOptions predictor_options(const CalibrationOptions& options, std::int64_t held_out) {
  PredictorOptions predictor;
  predictor.rank = options.rank;
  predictor.held_out = held_out;
  predictor.train = options.train;
  if (options.effort == CalibrationEffort::kFull) predictor.training.steps *= 6;
  return predictor;
}

}  // namespace

std::size_t calibration_bytes(const ModelConfig& config, std::int64_t tokens) {
  const LessonShape shape = lesson_shape(config, tokens);
  const auto count = static_cast<std::size_t>(tokens);
  const auto ffn = static_cast<std::size_t>(config.ffn_size);
  // Four boundaries and the normalised inputs, 16 bits; a bit a neuron and a byte an active one;
  // what first projections read; every layer's curves.
  const std::size_t curves = ScoreCurves::bytes_per_unit() *
                             static_cast<std::size_t>(config.layers) *
                             (2 * ffn + static_cast<std::size_t>(config.kv_heads));
  return curves + count * static_cast<std::size_t>(config.hidden_size) * 2 * 5 +
         count * (ffn / 8 + ffn) +
         static_cast<std::size_t>(std::min(tokens, shape.mlp_inputs)) *
             static_cast<std::size_t>(config.hidden_size) * 2;
}

TextSplits split_text(std::span<const TokenWindow> windows) {
  const std::size_t held_out =
      std::clamp<std::size_t>(windows.size() / kHeldOutShare, 1, kMostHeldOut);
  TextSplits splits;
  splits.measure = windows.last(held_out);
  splits.train_and_choose = windows.first(windows.size() - held_out);
  splits.choose = splits.train_and_choose.last(held_out);
  splits.train = splits.train_and_choose.first(splits.train_and_choose.size() - held_out);
  return splits;
}

Result<std::vector<CalibratedLayer>> calibrate_layers(const CalibrateArgs& args,
                                                      const CalibrationProgress& progress) {
  const ModelConfig& config = args.stream.model.config();
  Backend& backend = args.stream.backend;
  LessonShape shape = lesson_shape(config, token_count(args.stream.windows));
  shape.held_out = args.choose_tokens;
  const PredictorOptions predictor = predictor_options(args.options, args.choose_tokens);
  auto stream = LayerStream::create(args.stream);
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
    if (auto saved = args.saved.load(l)) {
      layers.push_back(*std::move(saved));
      const auto passed = (*stream)->run_layer(nullptr, tell("was trained before"));
      if (!passed) return tl::unexpected(passed.error());
      continue;
    }
    const Streams before = (*stream)->before();
    LayerLesson lesson(shape);
    const auto entering = (*stream)->run_layer(&lesson, tell("collecting"));
    if (!entering) return tl::unexpected(entering.error());
    auto neurons =
        calibrate_neurons(lesson, *entering, predictor, backend, tell("training neurons"));
    if (!neurons) return tl::unexpected(neurons.error());
    layers.push_back({std::move(*neurons), {}, lesson.gates()});
    if (l > 0) {
      auto heads = calibrate_heads(lesson, before, predictor, backend, tell("training heads"));
      if (!heads) return tl::unexpected(heads.error());
      layers.back().heads = std::move(*heads);
    }
    if (Status kept = args.saved.save(l, layers.back()); !kept) return tl::unexpected(kept.error());
  }
  return layers;
}

namespace {

// A row for dense and one for each of the artifact's levels, lookahead's first.
Result<std::vector<EvaluationRow>> evaluate_levels(const EvaluateArgs& args,
                                                   const Artifact& artifact, const char* what,
                                                   const CalibrationProgress& progress) {
  std::vector<EvaluationChoice> choices;
  for (std::size_t i = 0; i < artifact.lookahead_levels.size(); ++i)
    choices.push_back({{SparsityMode::kLookahead, static_cast<int>(i)}, 0});
  for (std::size_t i = 0; i < artifact.threshold_levels.size(); ++i)
    choices.push_back({{SparsityMode::kThreshold, static_cast<int>(i)}, 0});
  return evaluate(args, choices, [&](int done, int total) {
    if (progress) progress(what, done, total);
  });
}

}  // namespace

Status weigh_by_trials(const EvaluateArgs& args, const Trials& trials,
                       const CalibrationProgress& progress, std::span<CalibratedLayer> layers) {
  const auto rows = evaluate_levels(args, trials.artifact, "trying what can be left out", progress);
  if (!rows) return tl::unexpected(rows.error());
  std::vector<double> kl;
  for (std::size_t i = 0; i < trials.levels.size(); ++i) kl.push_back((*rows)[i + 1].kl);
  weigh_costs(trials, kl, layers);
  return {};
}

Status measure_levels(const EvaluateArgs& args, const CalibrationProgress& progress,
                      Artifact& artifact) {
  const auto rows = evaluate_levels(args, artifact, "comparing levels", progress);
  if (!rows) return tl::unexpected(rows.error());
  const double dense = rows->front().perplexity;
  auto row = rows->begin() + 1;
  for (auto* levels : {&artifact.lookahead_levels, &artifact.threshold_levels}) {
    for (LevelFigures& level : *levels) {
      level.perplexity_rise = row->perplexity / dense - 1;
      level.agreement = row->agreement;
      ++row;
    }
  }
  return {};
}

}  // namespace dejavu
