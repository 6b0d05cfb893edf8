#include "sparsity/calibration/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/model/parallel.h"
#include "engine/sample/exp.h"
#include "sparsity/calibration/predictor_products.h"

namespace dejavu {
namespace {

constexpr int kCheckTokens = 2048;
constexpr double kDensityFactor = 2;  // density at which recall is compared, in shares of active
constexpr int kBins = 4096;
constexpr float kLargestScore = 32;
constexpr float kHeaviest = 64;  // of an active unit's weight against one that is not

bool bit(const std::uint32_t* words, std::int64_t unit) {
  return (words[unit / 32] >> (unit % 32) & 1U) != 0;
}

float sigmoid(float x) {
  const float e = exp_nonpositive(-std::abs(x));
  return (x >= 0 ? 1.0F : e) / (1.0F + e);
}

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
    count_active();
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
  void count_active() {
    std::int64_t active = 0;
    for (std::int64_t t = 0; t < set_.trained(); ++t)
      for (int w = 0; w < mask_words(set_.units); ++w)
        active += __builtin_popcount(set_.label_row(t)[w]);
    const double share = static_cast<double>(std::max<std::int64_t>(active, 1)) /
                         (static_cast<double>(set_.trained()) * set_.units);
    active_weight_ = std::clamp(static_cast<float>((1 - share) / share), 1 / kHeaviest, kHeaviest);
    density_ = std::min(kDensityFactor * share, (1 + share) / 2);
  }

  // Share of the held-out tokens' active units among the best scores, as many as density_ says.
  Result<double> held_out_recall() {
    const std::int64_t tokens = std::min<std::int64_t>(set_.held_out, kCheckTokens);
    const auto scores = predictor_scores(predictor_, set_, set_.tokens - tokens, tokens, backend_);
    if (!scores) return tl::unexpected(scores.error());
    std::vector<std::int64_t> all(kBins), active(kBins);
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::uint32_t* labels = set_.label_row(set_.tokens - tokens + t);
      for (int u = 0; u < set_.units; ++u) {
        const float score = (*scores)[static_cast<std::size_t>(t * set_.units + u)];
        const float place = (score / kLargestScore + 1) * (kBins / 2);
        const auto bin = static_cast<std::size_t>(std::clamp(place, 0.0F, kBins - 1.0F));
        ++all[bin];
        if (bit(labels, u)) ++active[bin];
      }
    }
    const std::int64_t total = std::accumulate(active.begin(), active.end(), std::int64_t{0});
    const double room = density_ * static_cast<double>(tokens * set_.units);
    std::int64_t taken = 0, found = 0;
    for (std::size_t bin = kBins; bin-- > 0 && static_cast<double>(taken + all[bin]) <= room;) {
      taken += all[bin];
      found += active[bin];
    }
    return total == 0 ? 1.0 : static_cast<double>(found) / static_cast<double>(total);
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
    for (std::size_t i = 0; i < batch; ++i)
      std::copy_n(set_.input_row(tokens_[i]), set_.input,
                  inputs_.begin() + static_cast<std::ptrdiff_t>(i) * set_.input);
  }

  // The loss's derivative by each score, both ways round, and by each bias; a word of units at a
  // time, so that additions keep their order on any number of threads.
  void slopes(std::span<const float> scores) {
    const std::size_t batch = tokens_.size();
    const auto units = static_cast<std::size_t>(set_.units);
    slope_.resize(batch * units);
    turned_.resize(batch * units);
    bias_gradient_.assign(units, 0.0F);
    const float scale =
        1 / (static_cast<float>(batch) * static_cast<float>(std::min(1.0, density_)));
    parallel_rows(mask_words(set_.units), [&](std::int64_t begin, std::int64_t end) {
      const std::size_t first = static_cast<std::size_t>(begin) * 32;
      const std::size_t last = std::min(units, static_cast<std::size_t>(end) * 32);
      for (std::size_t t = 0; t < batch; ++t) {
        const std::uint32_t* labels = set_.label_row(tokens_[t]);
        for (std::size_t u = first; u < last; ++u) {
          const float p = sigmoid(scores[t * units + u] + predictor_.bias[u]);
          const float active = bit(labels, static_cast<std::int64_t>(u)) ? 1.0F : 0.0F;
          const float slope = scale * (p - active) * (1 + active * (active_weight_ - 1));
          bias_gradient_[u] += slope;
          slope_[t * units + u] = turned_[u * batch + t] = float_to_bf16(slope);
        }
      }
    });
  }

  const TrainingSet& set_;
  const TrainingOptions& options_;
  Backend& backend_;
  TrainedPredictor predictor_;
  AdamW down_, up_, bias_;
  float active_weight_ = 1;
  double density_ = 0;
  std::vector<std::int64_t> tokens_;
  std::vector<std::uint16_t> inputs_, slope_, turned_;
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
