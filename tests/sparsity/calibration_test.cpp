// The parts of calibration: low-rank starts, training, 8-bit weights, thresholds.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "engine/backend/factory.h"
#include "sparsity/calibration/low_rank.h"
#include "sparsity/calibration/quantize.h"
#include "sparsity/calibration/regression_start.h"
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
struct SyntheticLayer {
  static constexpr int kInput = 32, kUnits = 40, kDirections = 4;
  std::vector<std::uint16_t> inputs;
  UnitLabels labels{kUnits};

  explicit SyntheticLayer(std::int64_t tokens) {
    const HostMatrix map =
        product(random_matrix(kUnits, kDirections, 3), random_matrix(kDirections, kInput, 4));
    const HostMatrix x = random_matrix(static_cast<std::size_t>(tokens), kInput, 5);
    std::vector<float> costs(kUnits);
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (int i = 0; i < kInput; ++i) inputs.push_back(float_to_bf16(x.row(t)[i]));
      for (std::size_t u = 0; u < kUnits; ++u) {
        float sum = -14;
        for (std::size_t i = 0; i < kInput; ++i) sum += map.row(u)[i] * x.row(t)[i];
        costs[u] = sum > 0 ? sum * sum : 0;
      }
      labels.add(costs);
    }
  }
  TrainingSet set() const { return {labels.tokens(), 512, kInput, kUnits, inputs, labels}; }
};

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
  const SyntheticLayer layer(4096);
  const TrainingSet set = layer.set();
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

TEST_CASE("labels keep what is active and what it costs to an eighth of an octave") {
  UnitLabels labels(70);
  const std::vector<float> none(70);
  std::vector<float> costs(70);
  costs[0] = 1e-6F;
  costs[33] = 2.0F;
  costs[69] = 3e5F;
  labels.add(none);
  labels.add(costs);
  CHECK(labels.tokens() == 2);
  std::vector<int> units;
  labels.for_active(0, [&](int unit, std::uint8_t) { units.push_back(unit); });
  CHECK(units.empty());
  labels.for_active(1, [&](int unit, std::uint8_t code) {
    units.push_back(unit);
    const double root = std::sqrt(static_cast<double>(costs[static_cast<std::size_t>(unit)]));
    CHECK(UnitLabels::weight(code) == Approx(root).epsilon(0.07));
  });
  CHECK(units == std::vector<int>{0, 33, 69});
  CHECK(labels.row(1)[1] == 2U);
}

// What a layer's MLP reads is a noisy turn of what the predictor reads: the first projection alone
// looks in the wrong directions, and only some directions can be foreseen at all.
struct PlantedLayer {
  static constexpr int kInput = 24, kUnits = 64;
  static constexpr std::int64_t kTokens = 4096;
  FirstProjection projection{random_matrix(kUnits, kInput, 11), std::vector<float>(kUnits, -4.0F)};
  std::vector<std::uint16_t> inputs, mlp_inputs;
  UnitLabels labels{kUnits};

  PlantedLayer() {
    const HostMatrix turn = random_matrix(kInput, kInput, 12);
    const HostMatrix z = random_matrix(kTokens, kInput, 13);
    const HostMatrix noise = random_matrix(kTokens, kInput, 14);
    std::vector<float> y(kInput), costs(kUnits);
    for (std::size_t t = 0; t < z.rows; ++t) {
      for (std::size_t i = 0; i < kInput; ++i) {
        y[i] = i < kInput / 2 ? 0.2F * noise.row(t)[i] : 2 * noise.row(t)[i];
        if (i < kInput / 2)
          for (std::size_t k = 0; k < kInput; ++k) y[i] += 0.4F * turn.row(i)[k] * z.row(t)[k];
        inputs.push_back(float_to_bf16(z.row(t)[i]));
        mlp_inputs.push_back(float_to_bf16(y[i]));
      }
      for (std::size_t u = 0; u < kUnits; ++u) {
        float sum = projection.bias[u];
        for (std::size_t i = 0; i < kInput; ++i) sum += projection.weight.row(u)[i] * y[i];
        costs[u] = sum > 0 ? sum * sum : 0;
      }
      labels.add(costs);
    }
  }
};

double recall_of(const TrainedPredictor& predictor, const TrainingSet& set, Backend& backend) {
  TrainingOptions none;
  none.steps = 0;
  none.batch = 64;
  const auto measured = train_predictor(predictor, set, none, backend, {});
  REQUIRE(measured);
  return measured->first_recall;
}

TEST_CASE("the regression start foresees what the first projection's own SVD does not") {
  const auto cpu = backend();
  const PlantedLayer layer;
  const TrainingSet set{PlantedLayer::kTokens, 512,          PlantedLayer::kInput,
                        PlantedLayer::kUnits,  layer.inputs, layer.labels};
  constexpr int kRank = 8;
  const TrainedPredictor start =
      regression_start({layer.projection, layer.mlp_inputs, set, kRank}, *cpu);
  CHECK(start.rank == kRank);
  CHECK(start.down.size() == static_cast<std::size_t>(kRank * PlantedLayer::kInput));
  const LowRankMap svd = reduce_rank(layer.projection.weight, {}, kRank, *cpu);
  const TrainedPredictor plain{PlantedLayer::kInput, kRank,
                               PlantedLayer::kUnits, svd.down.values,
                               svd.up.values,        std::vector<float>(PlantedLayer::kUnits)};
  const double with_regression = recall_of(start, set, *cpu);
  CHECK(with_regression > 0.4);
  CHECK(with_regression > recall_of(plain, set, *cpu) + 0.1);
}

TEST_CASE("a router without a bottleneck learns too") {
  const auto cpu = backend();
  const SyntheticLayer layer(4096);
  const TrainingSet set = layer.set();
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
  const SyntheticLayer layer(1024);
  const TrainingSet set = layer.set();
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
