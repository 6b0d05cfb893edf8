#include "sparsity/evaluation/evaluation_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sparsity/report/svg_chart.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

constexpr double kPercent = 100;

std::string level_text(const EvaluationRow& row) {
  if (row.target_recall == 0) return "-";
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%g", row.target_recall);
  return text.data();
}

std::string row_text(const EvaluationRow& row, double dense_perplexity) {
  std::array<char, 32> score{"      -"};
  if (row.in_context_score)
    std::snprintf(score.data(), score.size(), "%7.3f", *row.in_context_score);
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(),
                "%-10s %6s %11.4f %+7.2f%% %8.2f%% %8.5f %s %7.1f%% %7.1f%% %7.2f%% %9.0f\n",
                std::string(sparsity_mode_name(row.mode)).c_str(), level_text(row).c_str(),
                row.perplexity, kPercent * (row.perplexity / dense_perplexity - 1),
                kPercent * row.agreement, row.kl, score.data(), kPercent * row.mlp_density,
                kPercent * row.head_density, kPercent * row.recall, row.tokens_per_second);
  return text.data();
}

ordered_json layers_json(const EvaluationRow& row) {
  ordered_json out = ordered_json::array();
  for (const EvaluatedLayer& layer : row.layers)
    out.push_back({{"mlp_density", layer.mlp_density},
                   {"head_density", layer.head_density},
                   {"recall", layer.recall},
                   {"head_mass_kept", layer.head_mass_kept}});
  return out;
}

LineChart quality_chart(std::span<const EvaluationRow> rows) {
  LineChart chart;
  chart.title = "What sparsity costs";
  chart.x_label = "MLP density, %";
  chart.y_label = "rise of perplexity over dense, %";
  for (const EvaluationRow& row : rows) {
    if (row.mode == SparsityMode::kDense) continue;
    const std::string name(sparsity_mode_name(row.mode));
    auto series = std::find_if(chart.series.begin(), chart.series.end(),
                               [&](const ChartSeries& s) { return s.name == name; });
    if (series == chart.series.end()) series = chart.series.insert(series, {name, {}});
    series->points.push_back(
        {kPercent * row.mlp_density, kPercent * (row.perplexity / rows.front().perplexity - 1)});
  }
  for (ChartSeries& series : chart.series)
    std::sort(series.points.begin(), series.points.end(),
              [](const ChartPoint& a, const ChartPoint& b) { return a.x < b.x; });
  return chart;
}

HeatStrip density_strip(std::span<const EvaluationRow> rows) {
  HeatStrip strip;
  strip.title = "Density by layer, %";
  strip.column_label = "layer";
  for (const EvaluationRow& row : rows) {
    if (row.mode == SparsityMode::kDense) continue;
    const std::string name = std::string(sparsity_mode_name(row.mode)) +
                             (row.target_recall > 0 ? " " + level_text(row) : "");
    HeatStrip::Row neurons{name + " MLP", {}}, heads{name + " heads", {}};
    for (const EvaluatedLayer& layer : row.layers) {
      neurons.values.push_back(layer.mlp_density);
      heads.values.push_back(layer.head_density);
    }
    strip.rows.push_back(std::move(neurons));
    if (row.head_density < 1) strip.rows.push_back(std::move(heads));
  }
  return strip;
}

}  // namespace

std::string to_table(std::span<const EvaluationRow> rows) {
  std::string out =
      "mode       target  perplexity     rise same next       KL in-ctxt     MLP   heads  recall  "
      "tokens/s\n";
  for (const EvaluationRow& row : rows) out += row_text(row, rows.front().perplexity);
  return out +
         "same next: positions with the dense model's likeliest token; KL in nats a position;\n"
         "in-ctxt: mean loss at tokens 25 to 75 of a window minus that at its last 51; MLP, "
         "heads:\n"
         "share computed; recall: of the neurons that the dense model uses; tokens/s: of whole\n"
         "windows, as a prompt is computed, not of decoding\n";
}

ordered_json to_json(std::span<const EvaluationRow> rows) {
  ordered_json out = ordered_json::array();
  for (const EvaluationRow& row : rows) {
    ordered_json target, score;
    if (row.target_recall > 0) target = row.target_recall;
    if (row.in_context_score) score = *row.in_context_score;
    out.push_back({{"mode", std::string(sparsity_mode_name(row.mode))},
                   {"target_recall", target},
                   {"perplexity", row.perplexity},
                   {"agreement", row.agreement},
                   {"kl", row.kl},
                   {"in_context_score", score},
                   {"mlp_density", row.mlp_density},
                   {"head_density", row.head_density},
                   {"recall", row.recall},
                   {"tokens_per_second", row.tokens_per_second},
                   {"layers", layers_json(row)}});
  }
  return out;
}

Status write_charts(std::span<const EvaluationRow> rows, const std::filesystem::path& directory) {
  if (Status done = write_text_file(directory / "quality.svg", to_svg(quality_chart(rows))); !done)
    return done;
  return write_text_file(directory / "density.svg", to_svg(density_strip(rows)));
}

}  // namespace dejavu
