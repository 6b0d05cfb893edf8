#include "sparsity/analysis/analyze.h"

#include <algorithm>
#include <cmath>

#include "sparsity/analysis/observer.h"
#include "sparsity/analysis/verdict.h"
#include "sparsity/evaluation/scores.h"
#include "sparsity/evaluation/window_runner.h"

namespace dejavu {
namespace {

// Shares of neurons the oracle tries; heads are tried at up to five counts.
constexpr std::array<double, 7> kNeuronShares = {0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75};
constexpr double kActiveShare = 0.3;  // counts as active where zeros are not exact
constexpr int kMostHeadCounts = 5;
constexpr int kStudiedLayers = 8;
constexpr std::size_t kStudiedNeurons = 512;
constexpr std::size_t kSampledTokens = 256;

bool has_exact_zeros(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kRelu2 ||
         activation == Activation::kFatRelu;
}

// Counts below all the units, evenly spread.
std::vector<std::size_t> head_counts(int groups) {
  std::vector<std::size_t> out;
  const int counts = std::min(groups - 1, kMostHeadCounts);
  for (int i = 1; i <= counts; ++i)
    out.push_back(static_cast<std::size_t>(i * groups / (counts + 1)));
  return out;
}

std::size_t count_of(double share, std::size_t units) {
  return std::max<std::size_t>(
      1, static_cast<std::size_t>(std::lround(share * static_cast<double>(units))));
}

struct Trial {
  OraclePoint::Units units;
  double asked = 1;
  int neuron_size = OracleMask::kDense, head_size = OracleMask::kDense;  // indices into the sizes
  double neuron_kept = 0, head_kept = 0;  // densities, weighted by windows
  Scores scores;
};

struct Plan {
  OracleSizes sizes;
  std::vector<Trial> trials;
  int active_neurons = 0;
};

int index_of(const std::vector<std::size_t>& sizes, std::size_t size) {
  return static_cast<int>(std::find(sizes.begin(), sizes.end(), size) - sizes.begin());
}

Plan make_plan(const ModelConfig& config) {
  const auto ffn = static_cast<std::size_t>(config.ffn_size);
  const auto groups = static_cast<std::size_t>(config.kv_heads);
  Plan plan;
  plan.sizes.heads = head_counts(config.kv_heads);
  std::vector<std::size_t>& neurons = plan.sizes.neurons;
  for (const double share : kNeuronShares) neurons.push_back(count_of(share, ffn));
  for (const std::size_t heads : plan.sizes.heads) neurons.push_back(heads * ffn / groups);
  neurons.push_back(ffn);
  std::sort(neurons.begin(), neurons.end());
  neurons.erase(std::unique(neurons.begin(), neurons.end()), neurons.end());
  plan.active_neurons = index_of(neurons, count_of(kActiveShare, ffn));

  for (const double share : kNeuronShares) {
    Trial trial{OraclePoint::Units::kNeurons, share};
    trial.neuron_size = index_of(neurons, count_of(share, ffn));
    plan.trials.push_back(trial);
  }
  for (const auto units : {OraclePoint::Units::kHeads, OraclePoint::Units::kBoth}) {
    for (std::size_t i = 0; i < plan.sizes.heads.size(); ++i) {
      const std::size_t heads = plan.sizes.heads[i];
      Trial trial{units, static_cast<double>(heads) / static_cast<double>(groups)};
      trial.head_size = static_cast<int>(i);
      if (units == OraclePoint::Units::kBoth)
        trial.neuron_size = index_of(neurons, heads * ffn / groups);
      plan.trials.push_back(trial);
    }
  }
  return plan;
}

ObserverSettings observer_settings(const ModelConfig& config, const Plan& plan,
                                   std::span<const TokenWindow> windows) {
  ObserverSettings settings;
  settings.sizes = plan.sizes;
  settings.exact_zeros = has_exact_zeros(config.activation);
  settings.active_neurons = plan.active_neurons;
  settings.active_heads = index_of(plan.sizes.heads, static_cast<std::size_t>(config.kv_heads) / 2);
  const int studied = std::min(config.layers, kStudiedLayers);
  for (int i = 0; i < studied; ++i)
    settings.studied_layers.push_back(studied == 1 ? 0 : i * (config.layers - 1) / (studied - 1));
  settings.studied_neurons = kStudiedNeurons;
  settings.sample_stride =
      std::max<std::size_t>(1, static_cast<std::size_t>(token_count(windows)) / kSampledTokens);
  return settings;
}

// The oracle size whose sets a token needs: the natural ones where zeros are exact, else the
// smallest within the budget (the largest when none is).
int needed_size(const Plan& plan, const Findings& findings) {
  const int everything = static_cast<int>(plan.sizes.neurons.size()) - 1;
  if (findings.exact_zeros) return everything;
  for (const Trial& trial : plan.trials)
    if (trial.units == OraclePoint::Units::kNeurons &&
        trial.scores.perplexity() <= findings.dense_perplexity * (1 + kQualityBudget))
      return trial.neuron_size;
  return everything;
}

class Analysis {
 public:
  Analysis(const AnalyzeArgs& args, WindowRunner& runner)
      : args_(args),
        runner_(runner),
        plan_(make_plan(args.model.config())),
        observer_(args.model.config(), observer_settings(args.model.config(), plan_, args.windows)),
        mask_(observer_.sets()) {}

  Status window(const TokenWindow& window) {
    args_.layers.set(&observer_);
    auto logits = runner_.run(window, {});
    if (!logits) return tl::unexpected(logits.error());
    const WindowForecast dense = forecast(*logits, window);
    dense_.add(dense, dense);
    args_.layers.set(&mask_);
    for (Trial& trial : plan_.trials) {
      mask_.choose(trial.neuron_size, trial.head_size);
      logits = runner_.run(window, {});
      if (!logits) return tl::unexpected(logits.error());
      trial.scores.add(forecast(*logits, window), dense);
      trial.neuron_kept += mask_.neuron_density() * static_cast<double>(window.size());
      trial.head_kept += mask_.head_density() * static_cast<double>(window.size());
    }
    return {};
  }

  Result<Findings> run(const AnalysisProgress& progress) {
    const std::size_t count = args_.windows.size();
    const std::size_t judged = std::max<std::size_t>(1, count / 4);
    for (std::size_t w = 0; w < count; ++w) {
      if (progress) progress(static_cast<int>(w), static_cast<int>(count));
      observer_.begin(w < count - judged ? Observer::Phase::kLearn : Observer::Phase::kJudge);
      if (Status done = window(args_.windows[w]); !done) return tl::unexpected(done.error());
    }
    if (progress) progress(static_cast<int>(count), static_cast<int>(count));
    args_.layers.set(nullptr);
    return findings();
  }

 private:
  Findings findings() const {
    Findings out;
    out.exact_zeros = has_exact_zeros(args_.model.config().activation);
    out.windows = static_cast<int>(args_.windows.size());
    out.tokens = token_count(args_.windows);
    out.dense_perplexity = dense_.perplexity();
    for (const Trial& trial : plan_.trials) {
      const auto tokens = static_cast<double>(out.tokens);
      out.oracle.push_back({trial.units, trial.asked, trial.neuron_kept / tokens,
                            trial.head_kept / tokens, trial.scores.perplexity(),
                            trial.scores.agreement()});
    }
    observer_.report(needed_size(plan_, out), out);
    out.verdict = make_verdict(args_.model.config(), out);
    return out;
  }

  const AnalyzeArgs& args_;
  WindowRunner& runner_;
  Plan plan_;
  Observer observer_;
  OracleMask mask_;
  Scores dense_;
};

}  // namespace

Result<Findings> analyze(const AnalyzeArgs& args, const AnalysisProgress& progress) {
  if (args.windows.size() < 2)
    return invalid("--text: too short to analyze; give text for at least two windows of 512 tokens",
                   "text");
  std::size_t longest = 0;
  for (const TokenWindow& window : args.windows) longest = std::max(longest, window.size());
  auto runner = WindowRunner::create(args.model, args.backend, static_cast<int>(longest));
  if (!runner) return tl::unexpected(runner.error());
  return Analysis(args, **runner).run(progress);
}

}  // namespace dejavu
