#include "sparsity/calibration/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/model/parallel.h"
#include "sparsity/calibration/predictor_products.h"

namespace dejavu {
namespace {

constexpr int kCheckTokens = 2048;
constexpr double kDensityFactor = 2;  // density at which recall is compared, in shares of active
constexpr int kBins = 4096;
constexpr float kLargestScore = 32;
// All active units together weigh so many times what all units do.
constexpr float kActiveWeight = 2;
constexpr float kHeaviest = 8;  // active unit, in means

// The logistic function at 1/64 steps; beyond them it is flat in 16 bits.
class Logistic {
 public:
  Logistic() {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      const double x = (static_cast<double>(i) + 0.5) / kSteps - kRange;
      values_[i] = static_cast<float>(1 / (1 + std::exp(-x)));
    }
  }
  float operator()(float x) const {
    const float place = (std::clamp(x, -kRange, kRange - 1 / kSteps) + kRange) * kSteps;
    return values_[static_cast<std::size_t>(static_cast<int>(place))];
  }

 private:
  static constexpr float kRange = 16, kSteps = 64;
  std::array<float, static_cast<std::size_t>(2 * kRange * kSteps)> values_{};
};

// Decoupled weight decay (Loshchilov and Hutter 2019).
class AdamW {
 public:
  explicit AdamW(std::size_t size) : mean_(size), square_(size) {}

  struct Step {
    float rate = 0;
    float decay = 0;
    int number = 1;
  };
  void apply(std::span<const float> gradient, const Step& step, std::vector<float>& weights) {
    constexpr float kBeta1 = 0.9F, kBeta2 = 0.98F, kEpsilon = 1e-8F;
    const float unbias1 = 1 - std::pow(kBeta1, static_cast<float>(step.number));
    const float unbias2 = 1 - std::pow(kBeta2, static_cast<float>(step.number));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      mean_[i] += (1 - kBeta1) * (gradient[i] - mean_[i]);
      square_[i] += (1 - kBeta2) * (gradient[i] * gradient[i] - square_[i]);
      const float move = mean_[i] / unbias1 / (std::sqrt(square_[i] / unbias2) + kEpsilon);
      weights[i] -= step.rate * (move + step.decay * weights[i]);
    }
  }

 private:
  std::vector<float> mean_, square_;
};

class Trainer {
 public:
  Trainer(TrainedPredictor start, const TrainingSet& set, const TrainingOptions& options,
          Backend& backend)
      : set_(set),
        options_(options),
        backend_(backend),
        predictor_(std::move(start)),
        down_(predictor_.down.size()),
        up_(predictor_.up.size()),
        bias_(predictor_.bias.size()) {}

  Result<TrainingResult> run(const TrainingProgress& progress) {
    auto products = PredictorProducts::create(predictor_, options_.batch, backend_);
    if (!products) return tl::unexpected(products.error());
    weigh_active();
    TrainingResult best{predictor_, 0, 0, density_, 0};
    auto first = held_out_recall();
    if (!first) return tl::unexpected(first.error());
    best.recall = best.first_recall = *first;
    int stale = 0;
    for (int step = 1; step <= options_.steps && stale < options_.patience; ++step) {
      train_batch(*products, step);
      if (progress) progress(step, options_.steps);
      if (step % options_.check_every != 0 && step != options_.steps) continue;
      const auto recall = held_out_recall();
      if (!recall) return tl::unexpected(recall.error());
      ++stale;
      if (*recall <= best.recall) continue;
      best.predictor = predictor_;
      best.recall = *recall;
      best.steps = step;
      stale = 0;
    }
    return best;
  }

 private:
  // Active units weigh by the root of what they cost: what is lost matters more than how often.
  void weigh_active() {
    std::array<std::int64_t, 256> count{};
    for (std::int64_t t = 0; t < set_.trained(); ++t)
      set_.labels.for_active(t, [&count](int, std::uint8_t code) { ++count[code]; });
    double active = 0, sum = 0;
    for (std::size_t code = 0; code < count.size(); ++code) {
      active += static_cast<double>(count[code]);
      sum += static_cast<double>(count[code]) *
             static_cast<double>(UnitLabels::weight(static_cast<std::uint8_t>(code)));
    }
    const double all = static_cast<double>(set_.trained()) * set_.units;
    const double mean = active > 0 ? sum / active : 1;
    const double share = std::max(active, 1.0) / all;
    density_ = std::min(kDensityFactor * share, (1 + share) / 2);
    for (std::size_t code = 0; code < weights_.size(); ++code) {
      const float relative =
          UnitLabels::weight(static_cast<std::uint8_t>(code)) / static_cast<float>(mean);
      weights_[code] = std::min(relative, kHeaviest) * kActiveWeight / static_cast<float>(share);
    }
    weights_[0] = 0;  // not active
  }

  // Share of the weight of the held-out tokens' active units that is among the best scores, as
  // many as density_ says.
  Result<double> held_out_recall() {
    const std::int64_t tokens = std::min<std::int64_t>(set_.held_out, kCheckTokens);
    const std::int64_t first = set_.trained();
    const auto scores = predictor_scores(predictor_, set_, first, tokens, backend_);
    if (!scores) return tl::unexpected(scores.error());
    const auto bin_of = [](float score) {
      const float place = (score / kLargestScore + 1) * (kBins / 2);
      return static_cast<std::size_t>(std::clamp(place, 0.0F, kBins - 1.0F));
    };
    std::vector<std::int64_t> all(kBins);
    std::vector<double> active(kBins);
    for (const float score : *scores) ++all[bin_of(score)];
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float* row = scores->data() + t * set_.units;
      set_.labels.for_active(first + t, [&](int unit, std::uint8_t code) {
        active[bin_of(row[unit])] += static_cast<double>(weights_[code]);
      });
    }
    const double total = std::accumulate(active.begin(), active.end(), 0.0);
    const double room = density_ * static_cast<double>(tokens * set_.units);
    std::int64_t taken = 0;
    double found = 0;
    for (std::size_t bin = kBins; bin-- > 0 && static_cast<double>(taken + all[bin]) <= room;) {
      taken += all[bin];
      found += active[bin];
    }
    return total > 0 ? found / total : 1.0;
  }

  void train_batch(PredictorProducts& products, int step) {
    choose_batch(step);
    products.set_weights(predictor_);
    slopes(products.forward(inputs_));
    const auto gradient = products.backward(slope_, turned_);
    const float left = 1 - static_cast<float>(step - 1) / static_cast<float>(options_.steps);
    const AdamW::Step how{options_.learning_rate * left, options_.weight_decay, step};
    if (!predictor_.down.empty()) down_.apply(gradient.down, how, predictor_.down);
    up_.apply(gradient.up, how, predictor_.up);
    bias_.apply(bias_gradient_, {how.rate, 0, step}, predictor_.bias);
  }

  void choose_batch(int step) {
    std::mt19937_64 random(options_.seed * 1000003 + static_cast<std::uint64_t>(step));
    const auto batch = static_cast<std::size_t>(options_.batch);
    tokens_.resize(batch);
    for (std::int64_t& token : tokens_)
      token = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(set_.trained()));
    inputs_.resize(batch * static_cast<std::size_t>(set_.input));
    codes_.assign(batch * static_cast<std::size_t>(set_.units), 0);
    for (std::size_t i = 0; i < batch; ++i) {
      std::copy_n(set_.input_row(tokens_[i]), set_.input,
                  inputs_.begin() + static_cast<std::ptrdiff_t>(i) * set_.input);
      std::uint8_t* codes = codes_.data() + i * static_cast<std::size_t>(set_.units);
      set_.labels.for_active(tokens_[i],
                             [codes](int unit, std::uint8_t code) { codes[unit] = code; });
    }
  }

  // The loss's derivative by each score, both ways round, and by each bias: every unit may cost 1
  // by being in the set, an active one its weight by being out. A word of units at a time, so that
  // additions keep their order on any number of threads, and in square blocks.
  void slopes(std::span<const float> scores) {
    const std::size_t batch = tokens_.size();
    const auto units = static_cast<std::size_t>(set_.units);
    slope_.resize(batch * units);
    turned_.resize(batch * units);
    bias_gradient_.assign(units, 0.0F);
    scale_ = 1 / static_cast<float>(batch);
    parallel_rows(mask_words(set_.units), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t word = begin; word < end; ++word)
        for (std::size_t first = 0; first < batch; first += kBlock)
          slope_block(scores, static_cast<std::size_t>(word), first);
    });
  }

  void slope_block(std::span<const float> scores, std::size_t word, std::size_t first) {
    const auto units = static_cast<std::size_t>(set_.units);
    const std::size_t unit = word * 32;
    const std::size_t width = std::min<std::size_t>(32, units - unit);
    const std::size_t last = std::min(first + kBlock, tokens_.size());
    std::array<std::array<std::uint16_t, kBlock>, 32> turned;
    for (std::size_t t = first; t < last; ++t) {
      const float* row = scores.data() + t * units + unit;
      const std::uint8_t* codes = codes_.data() + t * units + unit;
      std::uint16_t* out = slope_.data() + t * units + unit;
      for (std::size_t u = 0; u < width; ++u) {
        const float p = logistic_(row[u] + predictor_.bias[unit + u]);
        const float weight = weights_[codes[u]];
        const float slope = scale_ * (p - weight * (1 - p));
        bias_gradient_[unit + u] += slope;
        out[u] = turned[u][t - first] = float_to_bf16(slope);
      }
    }
    for (std::size_t u = 0; u < width; ++u)
      std::copy_n(
          turned[u].begin(), last - first,
          turned_.begin() + static_cast<std::ptrdiff_t>((unit + u) * tokens_.size() + first));
  }

  static constexpr std::size_t kBlock = 32;
  const TrainingSet& set_;
  const TrainingOptions& options_;
  Backend& backend_;
  TrainedPredictor predictor_;
  AdamW down_, up_, bias_;
  double density_ = 0;
  std::vector<std::int64_t> tokens_;
  std::vector<std::uint16_t> inputs_, slope_, turned_;
  std::vector<std::uint8_t> codes_;   // [batch][units]; 0: not active
  std::array<float, 256> weights_{};  // of each code
  Logistic logistic_;
  float scale_ = 1;
  std::vector<float> bias_gradient_;
};

}  // namespace

Result<TrainingResult> train_predictor(TrainedPredictor start, const TrainingSet& set,
                                       const TrainingOptions& options, Backend& backend,
                                       const TrainingProgress& progress) {
  return Trainer(std::move(start), set, options, backend).run(progress);
}

Result<std::vector<float>> predictor_scores(const TrainedPredictor& predictor,
                                            const TrainingSet& set, std::int64_t begin,
                                            std::int64_t count, Backend& backend) {
  auto products = PredictorProducts::create(predictor, static_cast<int>(count), backend);
  if (!products) return tl::unexpected(products.error());
  products->set_weights(predictor);
  const auto width = static_cast<std::size_t>(set.input);
  const auto raw =
      products->forward({set.input_row(begin), static_cast<std::size_t>(count) * width});
  std::vector<float> scores(raw.begin(), raw.end());
  for (std::size_t i = 0; i < scores.size(); ++i)
    scores[i] += predictor.bias[i % static_cast<std::size_t>(set.units)];
  return scores;
}

}  // namespace dejavu
