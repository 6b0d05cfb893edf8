#include "sparsity/calibration/layer_calibration.h"

#include <algorithm>

#include "sparsity/calibration/quantize.h"
#include "sparsity/calibration/regression_start.h"

namespace dejavu {
namespace {

constexpr std::int64_t kScoredAtOnce = 1024;

TrainingSet training_set(const UnitLabels& labels, const Streams& inputs, std::int64_t held_out) {
  return {inputs.tokens(),     held_out, static_cast<int>(inputs.width), labels.units(),
          inputs.normalized(), labels};
}

Result<ScoreCurves> curves_of(const PredictorWeights& weights, const TrainingSet& set,
                              Backend& backend) {
  ScoreCurves curves(set.units);
  const TrainedPredictor served = dequantize(weights);
  std::vector<float> costs(static_cast<std::size_t>(set.units));
  for (std::int64_t done = 0; done < set.held_out; done += kScoredAtOnce) {
    const std::int64_t count = std::min(kScoredAtOnce, set.held_out - done);
    const auto scores = predictor_scores(served, set, set.trained() + done, count, backend);
    if (!scores) return tl::unexpected(scores.error());
    for (std::int64_t t = 0; t < count; ++t) {
      std::fill(costs.begin(), costs.end(), 0.0F);
      set.labels.for_active(set.trained() + done + t, [&costs](int unit, std::uint8_t code) {
        costs[static_cast<std::size_t>(unit)] = UnitLabels::weight(code) * UnitLabels::weight(code);
      });
      curves.add(scores->data() + t * set.units, costs.data());
    }
  }
  return curves;
}

struct Pupil {
  TrainedPredictor start;
  const TrainingSet& set;
};

Result<CalibratedPredictor> teach(Pupil pupil, const PredictorOptions& options, Backend& backend,
                                  const TrainingProgress& progress) {
  TrainingOptions training = options.training;
  if (!options.train) training.steps = 0;
  training.batch = static_cast<int>(std::min<std::int64_t>(training.batch, pupil.set.trained()));
  const auto trained =
      train_predictor(std::move(pupil.start), pupil.set, training, backend, progress);
  if (!trained) return tl::unexpected(trained.error());
  PredictorWeights weights = quantize(trained->predictor);
  auto curves = curves_of(weights, pupil.set, backend);
  if (!curves) return tl::unexpected(curves.error());
  return CalibratedPredictor{std::move(weights), *std::move(curves), trained->first_recall,
                             trained->recall};
}

}  // namespace

Result<CalibratedPredictor> calibrate_neurons(const LayerLesson& lesson, const Streams& entering,
                                              const PredictorOptions& options, Backend& backend,
                                              const TrainingProgress& progress) {
  const TrainingSet set = training_set(lesson.neurons(), entering, options.held_out);
  const RegressionStart start{lesson.first_projection(), lesson.mlp_inputs(), set, options.rank};
  return teach({regression_start(start, backend), set}, options, backend, progress);
}

Result<CalibratedPredictor> calibrate_heads(const LayerLesson& lesson, const Streams& before,
                                            const PredictorOptions& options, Backend& backend,
                                            const TrainingProgress& progress) {
  const TrainingSet set = training_set(lesson.heads(), before, options.held_out);
  const auto units = static_cast<std::size_t>(set.units);
  TrainedPredictor start{set.input,
                         set.input,
                         set.units,
                         {},
                         std::vector<float>(units * static_cast<std::size_t>(before.width)),
                         std::vector<float>(units)};
  return teach({std::move(start), set}, options, backend, progress);
}

}  // namespace dejavu
