#include "sparsity/analysis/analysis_report.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace dejavu {
namespace {

using nlohmann::ordered_json;

constexpr std::array<const char*, 3> kUnitNames = {"neurons", "heads", "both"};

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  std::array<char, 256> text{};
  std::va_list args;
  va_start(args, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, args);
  va_end(args);
  return text.data();
}

// Table cells; a figure that is not there is a dash.
std::string percent_cell(std::optional<double> share) {
  return share ? format(" %8.1f", 100 * *share) : "        -";
}

std::string layer_table(const Findings& findings) {
  std::string out =
      "\nPer layer, in %: zeros exactly zero activations; top 1, top half: share of the attention\n"
      "block's squared norms in the largest KV group and in the larger half; cos: cosine between\n"
      "the inputs of successive sub-blocks (attention to MLP, MLP to the next attention)\n"
      "layer    zeros    top 1 top half groups95  cos mlp cos next  union 1  union 8 union 32\n";
  for (std::size_t l = 0; l < findings.layers.size(); ++l) {
    const LayerFindings& layer = findings.layers[l];
    const std::size_t groups = layer.head_shares.size();
    double half = 0;
    for (std::size_t g = 0; g < (groups + 1) / 2; ++g) half += layer.head_shares[g];
    out += format("%5zu", l) + percent_cell(layer.zeros) + percent_cell(layer.head_shares[0]) +
           percent_cell(half) + format(" %8.2f", layer.heads_for_95) +
           percent_cell(layer.cosine_to_mlp) + percent_cell(layer.cosine_to_next) +
           percent_cell(layer.unions[0]) + percent_cell(layer.unions[3]) +
           percent_cell(layer.unions[5]) + "\n";
  }
  return out;
}

std::string oracle_table(const Findings& findings) {
  std::string out = format(
      "\nAn oracle keeps each token's largest contributions (two passes); dense perplexity %.3f\n"
      "%-8s %8s %10s %10s %12s %9s %10s\n",
      findings.dense_perplexity, "units", "asked", "neurons", "heads", "perplexity", "rise",
      "same next");
  for (const OraclePoint& point : findings.oracle)
    out += format("%-8s %7.1f%% %9.1f%% %9.1f%% %12.3f %+8.2f%% %9.1f%%\n",
                  kUnitNames[static_cast<std::size_t>(point.units)], 100 * point.asked,
                  100 * point.neuron_density, 100 * point.head_density, point.perplexity,
                  100 * (point.perplexity / findings.dense_perplexity - 1), 100 * point.agreement);
  return out;
}

std::string foresight_table(const Findings& findings) {
  std::string out =
      "\nRecall of a linear predictor on held-out text, in %: of the active neurons among the 20 "
      "%\n"
      "with the highest scores, of the larger half of the heads among 50 %; from the token's\n"
      "embedding, the residual stream one sub-block before, the block's own input. for 98: share\n"
      "of neurons that the middle one needs for a recall of 98 %\n"
      "layer   active    embed   before    input   for 98 | heads: embed   before    input\n";
  constexpr std::size_t kAt20 = 2, kAt50 = 4;
  for (std::size_t l = 0; l < findings.layers.size(); ++l) {
    const LayerFindings& layer = findings.layers[l];
    if (!layer.neurons) continue;
    out += format("%5zu", l) + percent_cell(layer.neurons->true_density);
    for (const VantageFigures& vantage : layer.neurons->vantages)
      out += percent_cell(vantage.recall[kAt20]);
    out += percent_cell(layer.neurons->vantages[1].density_for_wanted) + " |     ";
    for (std::size_t s = 0; s < kVantageNames.size(); ++s)
      out += percent_cell(layer.heads ? std::optional(layer.heads->vantages[s].recall[kAt50])
                                      : std::nullopt);
    out += "\n";
  }
  return out;
}

ordered_json to_json(const std::optional<ForesightFigures>& figures) {
  if (!figures) return nullptr;
  ordered_json out = {{"true_density", figures->true_density}};
  for (std::size_t s = 0; s < kVantageNames.size(); ++s)
    out[kVantageNames[s]] = {{"recall", figures->vantages[s].recall},
                             {"density_for_recall_0.98", figures->vantages[s].density_for_wanted}};
  return out;
}

template <class T>
ordered_json optional_json(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json to_json(const LayerFindings& layer) {
  return {{"zeros", layer.zeros},
          {"head_shares", layer.head_shares},
          {"heads_for_95", layer.heads_for_95},
          {"union_density", layer.unions},
          {"predicted_union_density", optional_json(layer.predicted_unions)},
          {"neuron_recall", to_json(layer.neurons)},
          {"head_recall", to_json(layer.heads)},
          {"cosine_to_mlp", layer.cosine_to_mlp},
          {"cosine_to_next", optional_json(layer.cosine_to_next)}};
}

ordered_json to_json(const Verdict& verdict) {
  ordered_json expected = ordered_json::array();
  for (const Expectation& at : verdict.expectations)
    expected.push_back({{"batch", at.batch},
                        {"neurons_read", at.neurons_read},
                        {"weights_read_lookahead", at.lookahead},
                        {"weights_read_exact", at.exact}});
  return {{"worthwhile", verdict.worthwhile},
          {"quality_budget", kQualityBudget},
          {"oracle_neuron_density", verdict.neuron_density},
          {"oracle_head_density", verdict.head_density},
          {"expectations", expected},
          {"text", verdict.text}};
}

}  // namespace

std::string to_table(const Findings& findings) {
  std::string out = format("%lld tokens in %d windows", static_cast<long long>(findings.tokens),
                           findings.windows) +
                    layer_table(findings);
  out += findings.exact_zeros
             ? "A neuron is active when it is not zero.\n"
             : format(
                   "No exact zeros: unions are of the %.0f %% largest contributions, recall is "
                   "of the 30 %% largest.\n",
                   100 * findings.in_use);
  return out + oracle_table(findings) + foresight_table(findings) + "\n" + findings.verdict.text +
         "\n";
}

ordered_json to_json(const Findings& findings) {
  ordered_json layers = ordered_json::array(), oracle = ordered_json::array();
  for (const LayerFindings& layer : findings.layers) layers.push_back(to_json(layer));
  for (const OraclePoint& point : findings.oracle)
    oracle.push_back({{"units", kUnitNames[static_cast<std::size_t>(point.units)]},
                      {"asked", point.asked},
                      {"neuron_density", point.neuron_density},
                      {"head_density", point.head_density},
                      {"perplexity", point.perplexity},
                      {"agreement", point.agreement}});
  return {{"tokens", findings.tokens},
          {"windows", findings.windows},
          {"exact_zeros", findings.exact_zeros},
          {"dense_perplexity", findings.dense_perplexity},
          {"neurons_in_use", findings.in_use},
          {"union_batches", kUnionBatches},
          {"recall_densities", kRecallDensities},
          {"layers", layers},
          {"oracle", oracle},
          {"verdict", to_json(findings.verdict)}};
}

}  // namespace dejavu
