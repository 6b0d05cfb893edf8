#include "sparsity/calibration/layer_calibration.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sparsity/analysis/ridge.h"
#include "sparsity/calibration/low_rank.h"
#include "sparsity/calibration/quantize.h"

namespace dejavu {
namespace {

constexpr std::int64_t kGramTokens = 4096;  // enough to see where inputs are
constexpr std::int64_t kScoredAtOnce = 1024;

TrainingSet training_set(const UnitLesson& lesson, const Streams& inputs) {
  TrainingSet set;
  set.tokens = inputs.tokens();
  set.held_out = static_cast<std::int64_t>(lesson.costs.size()) / lesson.units;
  set.input = static_cast<int>(inputs.width);
  set.units = lesson.units;
  set.inputs = inputs.normalized();
  set.labels = lesson.labels;
  return set;
}

// Second moments of the first inputs.
HostMatrix gram_of(const TrainingSet& set, Backend& backend) {
  const std::int64_t tokens = std::min(set.trained(), kGramTokens);
  HostMatrix turned(static_cast<std::size_t>(set.input), static_cast<std::size_t>(tokens));
  for (std::int64_t t = 0; t < tokens; ++t)
    for (int i = 0; i < set.input; ++i)
      turned.row(static_cast<std::size_t>(i))[t] = bf16_to_float(set.input_row(t)[i]);
  return multiply_transposed(turned, turned, backend);
}

// A predictor whose scores have a spread of one, from a map of normalised inputs.
TrainedPredictor neuron_start(const LayerLesson& lesson, const TrainingSet& set, int rank,
                              Backend& backend) {
  const HostMatrix gram = gram_of(set, backend);
  LowRankMap map = reduce_rank(lesson.first_projection(), gram, rank, backend);
  HostMatrix turned(map.down.cols, map.down.rows);
  for (std::size_t r = 0; r < map.down.rows; ++r)
    for (std::size_t c = 0; c < map.down.cols; ++c) turned.row(c)[r] = map.down.row(r)[c];
  const HostMatrix whole = multiply_transposed(map.up, turned, backend);  // [units][input]
  const HostMatrix moved = multiply_transposed(whole, gram, backend);
  const auto tokens = static_cast<double>(std::min(set.trained(), kGramTokens));
  for (std::size_t u = 0; u < whole.rows; ++u) {
    const double square =
        std::inner_product(whole.row(u), whole.row(u) + whole.cols, moved.row(u), 0.0);
    const double spread = std::max(std::sqrt(std::max(square, 0.0) / tokens), 1e-6);
    for (std::size_t r = 0; r < map.up.cols; ++r)
      map.up.row(u)[r] = static_cast<float>(static_cast<double>(map.up.row(u)[r]) / spread);
  }
  return {set.input,     static_cast<int>(map.down.rows),
          set.units,     map.down.values,
          map.up.values, std::vector<float>(static_cast<std::size_t>(set.units))};
}

ScoreCurves curves_of(const PredictorWeights& weights, const TrainingSet& set,
                      const UnitLesson& lesson, Backend& backend, Status& status) {
  ScoreCurves curves(set.units);
  const TrainedPredictor served = dequantize(weights);
  for (std::int64_t done = 0; done < set.held_out && status; done += kScoredAtOnce) {
    const std::int64_t count = std::min(kScoredAtOnce, set.held_out - done);
    const auto scores = predictor_scores(served, set, set.trained() + done, count, backend);
    if (!scores) {
      status = tl::unexpected(scores.error());
      break;
    }
    for (std::int64_t t = 0; t < count; ++t)
      curves.add(scores->data() + t * set.units, lesson.costs.data() + (done + t) * set.units);
  }
  return curves;
}

struct Pupil {
  TrainedPredictor start;
  const TrainingSet& set;
  const UnitLesson& lesson;
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
  Status status;
  ScoreCurves curves = curves_of(weights, pupil.set, pupil.lesson, backend, status);
  if (!status) return tl::unexpected(status.error());
  return CalibratedPredictor{std::move(weights), std::move(curves), trained->first_recall,
                             trained->recall};
}

}  // namespace

Result<CalibratedPredictor> calibrate_neurons(const LayerLesson& lesson, const Streams& entering,
                                              const PredictorOptions& options, Backend& backend,
                                              const TrainingProgress& progress) {
  const TrainingSet set = training_set(lesson.neuron_lesson(), entering);
  return teach({neuron_start(lesson, set, options.rank, backend), set, lesson.neuron_lesson()},
               options, backend, progress);
}

Result<CalibratedPredictor> calibrate_heads(const LayerLesson& lesson, const Streams& before,
                                            const PredictorOptions& options, Backend& backend,
                                            const TrainingProgress& progress) {
  const TrainingSet set = training_set(lesson.head_lesson(), before);
  const auto units = static_cast<std::size_t>(set.units);
  TrainedPredictor start{set.input,
                         set.input,
                         set.units,
                         {},
                         std::vector<float>(units * static_cast<std::size_t>(before.width)),
                         std::vector<float>(units)};
  return teach({std::move(start), set, lesson.head_lesson()}, options, backend, progress);
}

}  // namespace dejavu
