// The charts of `dejavu analyze`.
#include <algorithm>

#include "sparsity/analysis/analysis_report.h"
#include "sparsity/report/svg_chart.h"

namespace dejavu {
namespace {

constexpr double kPercent = 100;

LineChart oracle_chart(const Findings& findings) {
  LineChart chart;
  chart.title = "Perplexity under an oracle that knows the true set";
  chart.x_label = "density: share of units used, %";
  chart.y_label = "rise of perplexity, %";
  chart.log_y = true;
  chart.log_floor = 0.01;
  chart.series = {{"neurons", {}}, {"heads", {}}, {"both", {}}};
  for (const OraclePoint& point : findings.oracle) {
    const double x =
        point.units == OraclePoint::Units::kNeurons ? point.neuron_density : point.head_density;
    const double y = point.perplexity / findings.dense_perplexity - 1;
    chart.series[static_cast<std::size_t>(point.units)].points.push_back(
        {kPercent * x, kPercent * y});
  }
  return chart;
}

LineChart foresight_chart(const Findings& findings) {
  LineChart chart;
  chart.title = "Recall of a linear predictor of the active neurons, mean over layers";
  chart.x_label = "predicted density, %";
  chart.y_label = "recall on held-out text, %";
  chart.series = {{"block's own input", {}}, {"one sub-block before", {}}, {"token embedding", {}}};
  constexpr Vantage kOrder[] = {Vantage::kInput, Vantage::kBefore, Vantage::kEmbedding};
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    for (std::size_t i = 0; i < kRecallDensities.size(); ++i) {
      double sum = 0, count = 0;
      for (const LayerFindings& layer : findings.layers) {
        if (!layer.neurons) continue;
        sum += layer.neurons->vantages[static_cast<std::size_t>(kOrder[s])].recall[i];
        ++count;
      }
      chart.series[s].points.push_back({kPercent * kRecallDensities[i], kPercent * sum / count});
    }
  }
  return chart;
}

LineChart union_chart(const Findings& findings) {
  LineChart chart;
  chart.title = "Neurons that a batch of random tokens uses together";
  chart.x_label = "batch";
  chart.y_label = "union density, %";
  const std::size_t last = findings.layers.size() - 1;
  const auto add = [&](std::size_t layer) {
    ChartSeries series{"layer " + std::to_string(layer), {}};
    for (std::size_t b = 0; b < kUnionBatches.size(); ++b)
      series.points.push_back(
          {static_cast<double>(kUnionBatches[b]), kPercent * findings.layers[layer].unions[b]});
    chart.series.push_back(std::move(series));
  };
  constexpr std::size_t kMostLines = 6;
  const std::size_t lines = std::min(kMostLines, last + 1);
  for (std::size_t i = 0; i < lines; ++i) add(lines == 1 ? 0 : i * last / (lines - 1));
  return chart;
}

HeatStrip layer_strip(const Findings& findings) {
  HeatStrip strip;
  strip.title = "By layer, %";
  strip.column_label = "layer";
  strip.rows = {
      {"exactly zero", {}}, {"neurons in use, batch 1", {}},  {"batch 8", {}},
      {"batch 32", {}},     {"largest KV group's share", {}}, {"cosine, attention to MLP", {}}};
  for (const LayerFindings& layer : findings.layers) {
    const double values[] = {layer.zeros,     layer.unions[0],      layer.unions[3],
                             layer.unions[5], layer.head_shares[0], layer.cosine_to_mlp};
    for (std::size_t r = 0; r < strip.rows.size(); ++r) strip.rows[r].values.push_back(values[r]);
  }
  return strip;
}

}  // namespace

Status write_charts(const Findings& findings, const std::filesystem::path& directory) {
  const std::pair<const char*, std::string> charts[] = {
      {"oracle.svg", to_svg(oracle_chart(findings))},
      {"foresight.svg", to_svg(foresight_chart(findings))},
      {"unions.svg", to_svg(union_chart(findings))},
      {"layers.svg", to_svg(layer_strip(findings))}};
  for (const auto& [name, svg] : charts)
    if (Status written = write_text_file(directory / name, svg); !written) return written;
  return {};
}

}  // namespace dejavu
