// `dejavu analyze`: how contextually sparse a model is, measured on a text.
#include "sparsity/analysis/analyze.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/backend/factory.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/cli/text_windows.h"
#include "server/model_stack.h"
#include "sparsity/analysis/analysis_report.h"
#include "sparsity/evaluation/probe.h"
#include "sparsity/evaluation/window_runner.h"

namespace dejavu {
namespace {

constexpr int kDefaultTokens = 8192;

}  // namespace

Result<int> run_analyze(const CommandLine& line) {
  const Config& config = line.config;
  const auto location = locate_model(config.model.model, config.model.offline);
  if (!location) return tl::unexpected(location.error());
  const auto windows = read_windows(config.text, *location, kDefaultTokens);
  if (!windows) return tl::unexpected(windows.error());
  const auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());

  const DenseLayerFactory dense;
  ProbedLayers layers(dense);
  TransformerOptions options = window_options(kTextWindow);
  options.dtype = transformer_options(config).dtype.value_or(DType::kF32);
  options.layers = &layers;
  const auto model = load_transformer(*location, **backend, options);
  if (!model) return tl::unexpected(model.error());

  const int max_tokens = config.text.max_tokens > 0 ? config.text.max_tokens : kDefaultTokens;
  const std::string text = describe_windows(*windows, max_tokens);
  std::printf("%s, %s, %s\n%s\n", location->name.c_str(), (*backend)->info().description.c_str(),
              std::string(dtype_name((*model)->dtype())).c_str(), text.c_str());
  StepProgress progress("analyzing, window");
  const auto findings = analyze({**model, layers, **backend, *windows},
                                [&](int done, int total) { progress.update(done, total); });
  if (!findings) return tl::unexpected(findings.error());
  std::fputs(to_table(*findings).c_str(), stdout);

  nlohmann::ordered_json json = to_json(*findings);
  json["model"] = location->name;
  json["text"] = text;
  json["dtype"] = dtype_name((*model)->dtype());
  if (Status done = write_json_file(config.client.json_file, json); !done)
    return tl::unexpected(done.error());
  if (config.text.out_directory.empty()) return 0;
  return write_charts(*findings, config.text.out_directory).map([] { return 0; });
}

}  // namespace dejavu
