#include "sparsity/analysis/verdict.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "sparsity/layer_bytes.h"

namespace dejavu {
namespace {

using Units = OraclePoint::Units;

constexpr double kPredictorRank = 128;
constexpr double kPredictorBytes = 1;  // an element
constexpr double kWorthwhileDensity = 0.5;
constexpr std::array<int, 3> kBatches = {1, 8, 32};

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %%", share < 0.0995 ? 1 : 0, 100 * share);
  return text.data();
}

std::string times(double ratio) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f times", ratio);
  return text.data();
}

double density_of(const OraclePoint& point) {
  return point.units == Units::kHeads ? point.head_density : point.neuron_density;
}

double rise(const Findings& findings, const OraclePoint& point) {
  return point.perplexity / findings.dense_perplexity - 1;
}

// The smallest density at which the oracle stays within the budget; 1: none does.
double needed_density(const Findings& findings, Units units) {
  double best = 1;
  for (const OraclePoint& point : findings.oracle)
    if (point.units == units && rise(findings, point) <= kQualityBudget)
      best = std::min(best, density_of(point));
  return best;
}

// The oracle's row nearest below or at this share; null when units were not tried.
const OraclePoint* row_at(const Findings& findings, Units units, double share) {
  const OraclePoint* best = nullptr;
  for (const OraclePoint& point : findings.oracle)
    if (point.units == units && point.asked <= share + 1e-9) best = &point;
  return best;
}

std::size_t batch_index(int batch) {
  return static_cast<std::size_t>(std::find(kUnionBatches.begin(), kUnionBatches.end(), batch) -
                                  kUnionBatches.begin());
}

double predictor_bytes(const ModelConfig& config) {
  const double d = config.hidden_size, ffn = config.ffn_size;
  return kPredictorBytes * (kPredictorRank * (d + ffn) + d * config.kv_heads);
}

Expectation expect(const ModelConfig& config, const Findings& findings, const Verdict& verdict,
                   int batch) {
  const LayerBytes bytes(config);
  const double predictor = predictor_bytes(config);
  const double layer_count = static_cast<double>(findings.layers.size());
  const double dense = weight_bytes(config);
  const std::size_t at = batch_index(batch);
  Expectation out;
  out.batch = batch;
  double neurons = 0, studied = 0, skipped_exactly = 0;
  for (const LayerFindings& layer : findings.layers) {
    if (findings.exact_zeros) skipped_exactly += (1 - layer.unions[at]) * bytes.skippable_mlp;
    if (!layer.predicted_unions) continue;
    const double read = (*layer.predicted_unions)[at];
    neurons += read + predictor / bytes.mlp < 1 ? read : 1;
    ++studied;
  }
  out.exact = 1 - skipped_exactly / dense;
  if (studied == 0 || verdict.neuron_density > kWorthwhileDensity) return out;
  out.neurons_read = neurons / studied;
  double saved = (1 - out.neurons_read) * bytes.mlp;
  if (out.neurons_read < 1) saved -= predictor;
  // The weights of heads are skipped for a token alone; layer 0's heads are always computed.
  const double heads = std::min(1.0, verdict.head_density + 1.0 / config.kv_heads);
  double total_saved = layer_count * saved;
  if (batch == 1) total_saved += (layer_count - 1) * (1 - heads) * bytes.skippable_attention;
  out.lookahead = std::min(1.0, 1 - total_saved / dense);
  return out;
}

std::string expectations_text(const Verdict& verdict) {
  std::string out;
  for (const Expectation& expected : verdict.expectations) {
    out += out.empty() ? "a decode step reads " : expected.batch == 32 ? ", and " : ", ";
    out +=
        percent(expected.lookahead) + " of the weights at batch " + std::to_string(expected.batch);
    out += expected.lookahead < 0.97 ? " (up to " + times(1 / expected.lookahead) + " as fast)"
                                     : " (no gain)";
  }
  return out;
}

std::string heads_text(const Findings& findings) {
  const OraclePoint* heads = nullptr;
  for (const OraclePoint& point : findings.oracle)
    if (point.units == Units::kHeads) heads = &point;  // the mildest cut
  if (heads == nullptr) return {};
  return "; dropping " + percent(1 - heads->head_density) +
         " of the KV groups, each token's "
         "weakest, raises it by " +
         percent(rise(findings, *heads));
}

double mean_zeros(const Findings& findings) {
  double sum = 0;
  for (const LayerFindings& layer : findings.layers) sum += layer.zeros;
  return sum / static_cast<double>(findings.layers.size());
}

double density_for_wanted_recall(const Findings& findings) {
  double sum = 0, count = 0;
  for (const LayerFindings& layer : findings.layers) {
    if (!layer.neurons) continue;
    sum += layer.neurons->vantages[static_cast<std::size_t>(Vantage::kBefore)].density_for_wanted;
    ++count;
  }
  return count > 0 ? sum / count : 1;
}

std::string worthwhile_text(const Findings& findings, const Verdict& verdict) {
  std::string out = "Worth switching on: " + percent(mean_zeros(findings)) +
                    " of the activations are exactly zero, an oracle needs " +
                    percent(verdict.neuron_density) +
                    " of the neurons, and a linear predictor "
                    "one sub-block ahead finds " +
                    percent(kWantedRecall) + " of the active ones among " +
                    percent(density_for_wanted_recall(findings)) + " of all; ";
  out += verdict.head_density < 1
             ? "the oracle needs " + percent(verdict.head_density) + " of the KV groups. "
             : "of the KV groups it needs all. ";
  return out + "Where decoding is bound by memory, predictors included, " +
         expectations_text(verdict) + ".";
}

std::string dense_text(const Findings& findings, const Verdict& verdict) {
  std::string out = "Not worth switching on: ";
  if (verdict.neuron_density > kWorthwhileDensity) {
    out += "this model is not contextually sparse. " + percent(mean_zeros(findings)) +
           " of its activations are exactly zero, and even an oracle that knows the largest "
           "contributions";
    if (const OraclePoint* half = row_at(findings, Units::kNeurons, kWorthwhileDensity))
      out += " raises perplexity by " + percent(rise(findings, *half)) + " with " +
             percent(half->neuron_density) + " of the neurons";
    out += heads_text(findings);
  } else {
    out += "an oracle needs only " + percent(verdict.neuron_density) +
           " of the neurons, but a linear predictor one sub-block ahead takes " +
           percent(density_for_wanted_recall(findings)) + " of them to find " +
           percent(kWantedRecall) + " of the active ones";
  }
  out += ". Serve it dense; with lookahead expect no gain worth having at batch 1, 8 or 32.";
  const Expectation& one = verdict.expectations.front();
  if (one.exact < kWorthwhileRead)
    out += " Mode exact, which skips computed zeros and changes nothing, reads " +
           percent(one.exact) + " of the weights at batch 1.";
  return out;
}

}  // namespace

Verdict make_verdict(const ModelConfig& config, const Findings& findings) {
  Verdict verdict;
  verdict.neuron_density = needed_density(findings, Units::kNeurons);
  verdict.head_density = needed_density(findings, Units::kHeads);
  for (const int batch : kBatches)
    verdict.expectations.push_back(expect(config, findings, verdict, batch));
  verdict.worthwhile = verdict.expectations.front().lookahead <= kWorthwhileRead;
  verdict.text =
      verdict.worthwhile ? worthwhile_text(findings, verdict) : dense_text(findings, verdict);
  return verdict;
}

}  // namespace dejavu
