// The parts of calibration: low-rank starts, training, 8-bit weights, thresholds.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "engine/backend/factory.h"
#include "sparsity/calibration/low_rank.h"
#include "sparsity/calibration/quantize.h"
#include "sparsity/calibration/score_curves.h"
#include "sparsity/calibration/trainer.h"

namespace dejavu {
namespace {

std::unique_ptr<Backend> backend() {
  auto made = make_cpu_backend({});
  REQUIRE(made);
  return std::move(*made);
}

HostMatrix random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  HostMatrix matrix(rows, cols);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (float& value : matrix.values) value = normal(random);
  return matrix;
}

HostMatrix product(const HostMatrix& a, const HostMatrix& b) {
  HostMatrix out(a.rows, b.cols);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t k = 0; k < a.cols; ++k)
      for (std::size_t j = 0; j < b.cols; ++j) out.row(i)[j] += a.row(i)[k] * b.row(k)[j];
  return out;
}

double distance(const HostMatrix& a, const HostMatrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const double d = static_cast<double>(a.values[i]) - static_cast<double>(b.values[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

// Singular values 10, 6, 3, 1 along the first coordinates, turned by reflections on both sides.
HostMatrix known_matrix() {
  HostMatrix matrix(24, 17);
  constexpr float kValues[] = {10, 6, 3, 1};
  for (std::size_t i = 0; i < 4; ++i) matrix.row(i)[i] = kValues[i];
  const auto reflection = [](std::size_t n, std::uint64_t seed) {
    HostMatrix v = random_matrix(1, n, seed);
    double length = 0;
    for (const float x : v.values) length += static_cast<double>(x) * x;
    HostMatrix h(n, n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        h.row(i)[j] =
            static_cast<float>((i == j ? 1.0 : 0.0) - 2.0 * v.values[i] * v.values[j] / length);
    return h;
  };
  return product(product(reflection(24, 1), matrix), reflection(17, 2));
}

TEST_CASE("a truncated SVD leaves exactly the smallest singular values out") {
  const auto cpu = backend();
  const HostMatrix matrix = known_matrix();
  // Eckart and Young: the error is the root of the squares left out.
  for (const auto& [rank, error] :
       {std::pair(1, std::sqrt(46.0)), std::pair(2, std::sqrt(10.0)), std::pair(3, 1.0)}) {
    const LowRankMap map = reduce_rank(matrix, {}, rank, *cpu);
    CHECK(distance(product(map.up, map.down), matrix) == Approx(error).epsilon(1e-3));
  }
}

TEST_CASE("reduced-rank regression counts errors where inputs are") {
  const auto cpu = backend();
  HostMatrix map(6, 6), gram(6, 6);
  for (std::size_t i = 0; i < 6; ++i) {
    map.row(i)[i] = i == 0 ? 5.0F : 1.0F;     // the strongest direction of the map…
    gram.row(i)[i] = i == 0 ? 0.001F : 1.0F;  // …is one that inputs hardly have
  }
  const LowRankMap plain = reduce_rank(map, {}, 1, *cpu);
  CHECK(std::abs(plain.down.row(0)[0]) > 4.9F);
  const LowRankMap weighted = reduce_rank(map, gram, 1, *cpu);
  CHECK(std::abs(weighted.down.row(0)[0]) < 0.1F);
}

// Units whose activity follows from a few directions of the input.
TrainingSet synthetic_layer(std::int64_t tokens) {
  constexpr int kInput = 32, kUnits = 40, kDirections = 4;
  TrainingSet set;
  set.tokens = tokens;
  set.held_out = 512;
  set.input = kInput;
  set.units = kUnits;
  const HostMatrix map =
      product(random_matrix(kUnits, kDirections, 3), random_matrix(kDirections, kInput, 4));
  const HostMatrix x = random_matrix(static_cast<std::size_t>(tokens), kInput, 5);
  set.labels.resize(static_cast<std::size_t>(tokens * mask_words(kUnits)));
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (int i = 0; i < kInput; ++i) set.inputs.push_back(float_to_bf16(x.row(t)[i]));
    for (std::size_t u = 0; u < kUnits; ++u) {
      float sum = -14;
      for (std::size_t i = 0; i < kInput; ++i) sum += map.row(u)[i] * x.row(t)[i];
      if (sum > 0) set.labels[t * 2 + u / 32] |= 1U << (u % 32);
    }
  }
  return set;
}

TrainedPredictor random_start(const TrainingSet& set, int rank) {
  const auto units = static_cast<std::size_t>(set.units);
  TrainedPredictor start{set.input, rank, set.units, {}, {}, std::vector<float>(units)};
  start.down = random_matrix(static_cast<std::size_t>(rank), 32, 6).values;
  start.up = random_matrix(units, static_cast<std::size_t>(rank), 7).values;
  for (float& value : start.down) value *= 0.1F;
  for (float& value : start.up) value *= 0.1F;
  return start;
}

TEST_CASE("training improves recall on tokens held out, the same way each time") {
  const auto cpu = backend();
  const TrainingSet set = synthetic_layer(4096);
  TrainingOptions options;
  options.steps = 150;
  options.batch = 512;
  options.learning_rate = 1e-2F;
  const auto trained = train_predictor(random_start(set, 8), set, options, *cpu, {});
  REQUIRE(trained);
  CHECK(trained->recall > 0.9);
  CHECK(trained->recall > trained->first_recall + 0.2);
  const auto again = train_predictor(random_start(set, 8), set, options, *cpu, {});
  REQUIRE(again);
  CHECK(again->predictor.up == trained->predictor.up);
  CHECK(again->predictor.bias == trained->predictor.bias);
}

TEST_CASE("a router without a bottleneck learns too") {
  const auto cpu = backend();
  const TrainingSet set = synthetic_layer(4096);
  TrainingOptions options;
  options.batch = 512;
  options.steps = 150;
  options.learning_rate = 1e-2F;
  TrainedPredictor start = random_start(set, 32);
  start.down.clear();
  const auto trained = train_predictor(start, set, options, *cpu, {});
  REQUIRE(trained);
  CHECK(trained->predictor.down.empty());
  CHECK(trained->recall > 0.9);
}

TEST_CASE("8-bit weights stand for the trained ones within half a step") {
  const TrainingSet set = synthetic_layer(1024);
  const TrainedPredictor predictor = random_start(set, 8);
  const PredictorWeights weights = quantize(predictor);
  const TrainedPredictor back = dequantize(weights);
  for (std::size_t i = 0; i < predictor.up.size(); ++i)
    CHECK(std::abs(back.up[i] - predictor.up[i]) <= 0.501F * weights.up_scale[i / 8]);
}

TEST_CASE("thresholds keep what costs most and meet a recall") {
  // Unit 0 is active with high scores only, unit 1 at any score, unit 2 never.
  ScoreCurves curves(3);
  std::mt19937_64 random(8);
  std::uniform_real_distribution<float> uniform(-10, 10);
  for (int t = 0; t < 4000; ++t) {
    const float scores[] = {uniform(random), uniform(random), uniform(random)};
    const float costs[] = {scores[0] > 5 ? 1.0F : 0.0F, random() % 2 == 0 ? 1.0F : 0.0F, 0.0F};
    curves.add(scores, costs);
  }
  const ThresholdChoice choice = curves.choose_for_recall(0.99);
  CHECK(choice.recall >= 0.99);
  CHECK(choice.kept[0] == Approx(0.25).margin(0.03));
  CHECK(choice.kept[1] > 0.95);
  CHECK(choice.kept[2] == 0.0);
  CHECK(choice.density == Approx((0.25 + 1) / 3).margin(0.02));
  const ThresholdChoice cheap = curves.choose_for_recall(0.5);
  CHECK(cheap.density < choice.density);
  CHECK(cheap.missed > choice.missed);

  const auto unions = union_densities({0.5F, 0.0F});
  CHECK(unions[0] == Approx(0.25));
  CHECK(unions[1] == Approx(0.375));  // batch 2: 0.75 of unit 0
}

}  // namespace
}  // namespace dejavu
