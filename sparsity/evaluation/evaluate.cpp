#include "sparsity/evaluation/evaluate.h"

#include <algorithm>
#include <chrono>

#include "sparsity/evaluation/recall_probe.h"
#include "sparsity/evaluation/scores.h"
#include "sparsity/evaluation/window_runner.h"

namespace dejavu {
namespace {

// What a row's figures are made of.
struct Sums {
  EvaluationChoice choice;
  Scores scores;
  std::vector<LayerRecall> recall;
  struct Units {
    double neurons = 0, all_neurons = 0, heads = 0, all_heads = 0;
  };
  std::vector<Units> units;  // a layer each
  double mlp_density = 0, head_density = 0, tokens = 0, seconds = 0;
};

double share(double part, double whole) { return whole > 0 ? part / whole : 1; }

EvaluationRow make_row(const Sums& sums) {
  EvaluationRow row;
  row.mode = sums.choice.choice.mode;
  row.target_recall = sums.choice.target_recall;
  row.perplexity = sums.scores.perplexity();
  row.agreement = sums.scores.agreement();
  row.kl = sums.scores.kl();
  row.in_context_score = sums.scores.in_context_score();
  row.mlp_density = sums.mlp_density / sums.tokens;
  row.head_density = sums.head_density / sums.tokens;
  row.tokens_per_second = sums.tokens / sums.seconds;
  row.recall = 0;
  for (std::size_t l = 0; l < sums.recall.size(); ++l) {
    const LayerRecall& recall = sums.recall[l];
    const Sums::Units& units = sums.units[l];
    row.layers.push_back({share(units.neurons, units.all_neurons),
                          share(units.heads, units.all_heads),
                          share(recall.recalled, recall.active),
                          1 - (recall.head_mass > 0 ? recall.missed_mass / recall.head_mass : 0)});
    row.recall += row.layers.back().recall / static_cast<double>(sums.recall.size());
  }
  return row;
}

// Adds what was counted between two looks at the runtime.
void add_units(const SparsityStatus& before, const SparsityStatus& after, Sums& sums) {
  for (std::size_t l = 0; l < std::min(after.layers.size(), sums.units.size()); ++l) {
    const auto since = [](std::uint64_t a, std::uint64_t b) { return static_cast<double>(b - a); };
    const LayerStatus& a = before.layers[l];
    const LayerStatus& b = after.layers[l];
    Sums::Units& units = sums.units[l];
    units.neurons += since(a.mlp.selected_units, b.mlp.selected_units);
    units.all_neurons += since(a.mlp.candidate_units, b.mlp.candidate_units);
    units.heads += since(a.heads.selected_units, b.heads.selected_units);
    units.all_heads += since(a.heads.candidate_units, b.heads.candidate_units);
  }
}

class Evaluation {
 public:
  Evaluation(const EvaluateArgs& args, WindowRunner& runner)
      : args_(args), runner_(runner), probe_(args.model.config()) {}

  // `before_row` is called before each row.
  Status window(const TokenWindow& window, std::vector<Sums>& rows,
                const std::function<void()>& before_row) {
    std::vector<float> dense_logits;
    WindowForecast dense;
    for (Sums& row : rows) {
      before_row();
      const bool reference = &row == rows.data();
      if (reference) {
        probe_.note_dense();
      } else {
        probe_.compare(row.recall);
      }
      const auto logits = run(window, row);
      if (!logits) return tl::unexpected(logits.error());
      if (reference) {
        dense_logits.assign(logits->begin(), logits->end());
        dense = forecast(dense_logits, window);
        row.scores.add(dense, dense);
      } else {
        row.scores.add(forecast(*logits, window), dense);
        row.scores.add_kl(kl_sum(dense_logits, *logits, runner_.vocab()));
      }
    }
    return {};
  }

 private:
  Result<std::span<const float>> run(const TokenWindow& window, Sums& row) {
    const SparsityStatus before = args_.control.status();
    const auto start = std::chrono::steady_clock::now();
    const auto logits = runner_.run(window, row.choice.choice);
    if (!logits) return tl::unexpected(logits.error());
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    row.seconds += passed.count() - probe_.take_seconds();
    add_units(before, args_.control.status(), row);
    row.tokens += static_cast<double>(window.size());
    for (const TokenDensity& density : runner_.densities()) {
      row.mlp_density += static_cast<double>(density.mlp);
      row.head_density += static_cast<double>(density.heads);
    }
    return logits;
  }

 public:
  RecallProbe& probe() { return probe_; }

 private:
  const EvaluateArgs& args_;
  WindowRunner& runner_;
  RecallProbe probe_;
};

}  // namespace

Result<std::vector<EvaluationRow>> evaluate(const EvaluateArgs& args,
                                            std::span<const EvaluationChoice> choices,
                                            const std::function<void(int, int)>& progress) {
  std::size_t longest = 0;
  for (const TokenWindow& window : args.windows) longest = std::max(longest, window.size());
  auto runner = WindowRunner::create(args.model, args.backend, static_cast<int>(longest));
  if (!runner) return tl::unexpected(runner.error());
  (*runner)->attach(&args.sparsity);

  std::vector<EvaluationChoice> all = {{}};
  for (const EvaluationChoice& choice : choices)
    if (choice.choice.mode != SparsityMode::kDense) all.push_back(choice);
  const auto layers = static_cast<std::size_t>(args.model.config().layers);
  std::vector<Sums> rows(all.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    rows[r].choice = all[r];
    rows[r].recall.resize(layers);
    rows[r].units.resize(layers);
  }
  Evaluation evaluation(args, **runner);
  args.layers.set(&evaluation.probe());
  int runs = 0;
  const auto step = [&] {
    if (progress) progress(runs, static_cast<int>(args.windows.size() * rows.size()));
    ++runs;
  };
  for (const TokenWindow& window : args.windows) {
    const Status done = evaluation.window(window, rows, step);
    if (!done) {
      args.layers.set(nullptr);
      return tl::unexpected(done.error());
    }
  }
  args.layers.set(nullptr);
  step();
  std::vector<EvaluationRow> out;
  for (const Sums& sums : rows) out.push_back(make_row(sums));
  return out;
}

}  // namespace dejavu
