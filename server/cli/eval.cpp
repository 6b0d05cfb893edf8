// `dejavu eval`: what each sparsity mode costs in quality, measured on a text.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/backend/factory.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/cli/text_windows.h"
#include "server/model_stack.h"
#include "sparsity/evaluation/evaluate.h"
#include "sparsity/evaluation/evaluation_report.h"
#include "sparsity/evaluation/probe.h"
#include "sparsity/evaluation/window_runner.h"
#include "sparsity/runtime.h"

namespace dejavu {
namespace {

constexpr int kDefaultTokens = 96 * kTextWindow;

// The model's artifact; none when the default place has none.
Result<SparsityRuntime::Parts> runtime_parts(const Config& config, const ModelLocation& location) {
  SparsityRuntime::Parts parts;
  parts.options.mode = SparsityDefault::kDense;  // every row says its own
  parts.options.audit_interval = 0;
  const bool named = !config.sparsity.artifact_directory.empty();
  const std::filesystem::path directory =
      named ? std::filesystem::path(config.sparsity.artifact_directory)
            : location.directory / "sparsity";
  std::error_code error;
  if (!named && !std::filesystem::exists(directory, error)) return parts;
  const auto fingerprint = model_fingerprint(location.directory);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  auto artifact = load_artifact(directory, *fingerprint);
  if (!artifact) return tl::unexpected(artifact.error());
  if (!config.evaluation.heads)
    for (LayerArtifact& layer : artifact->layers) layer.heads.reset();
  parts.artifact = *std::move(artifact);
  parts.artifact_directory = directory.string();
  return parts;
}

Result<std::vector<double>> wanted_recalls(const std::vector<std::string>& texts) {
  std::vector<double> out;
  for (const std::string& text : texts) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value <= 0 || value > 1)
      return invalid("--target-recall: '" + text + "' is no number above 0 and up to 1",
                     "target-recall");
    out.push_back(value);
  }
  return out;
}

struct Choices {
  std::vector<EvaluationChoice> rows;
  std::string left_out;  // modes that the model and its artifact do not have
};

// Why no mode evaluated has this target recall: each says its levels.
tl::unexpected<Error> no_level(double recall, std::span<const std::string> modes,
                               const SparsityControl& control) {
  std::string reasons;
  for (const std::string& mode : modes) {
    const auto refused = control.resolve({mode, recall});
    if (!refused) reasons += (reasons.empty() ? "" : "; ") + refused.error().message;
  }
  return invalid("--target-recall: " + reasons, "target-recall");
}

// A mode that was asked for must be possible, as must each target recall in one mode at least; by
// default what is not possible is left out.
Result<Choices> make_choices(const CommandLine& line, const SparsityControl& control) {
  const EvaluationOptions& options = line.config.evaluation;
  const auto recalls = wanted_recalls(options.target_recalls);
  if (!recalls) return tl::unexpected(recalls.error());
  const SparsityStatus status = control.status();
  std::vector<double> unused = *recalls;
  Choices out;
  for (const std::string& mode : options.modes) {
    const bool lookahead = mode == sparsity_mode_name(SparsityMode::kLookahead);
    const bool threshold = mode == sparsity_mode_name(SparsityMode::kThreshold);
    const std::vector<double>& levels =
        lookahead ? status.lookahead_levels : status.threshold_levels;
    std::vector<SparsityWish> wishes;
    if (!lookahead && !threshold) {
      wishes.push_back({mode, std::nullopt});
    } else if (recalls->empty()) {
      for (const double level : levels) wishes.push_back({mode, level});
    } else {
      for (const double recall : *recalls)
        if (std::find(levels.begin(), levels.end(), recall) != levels.end())
          wishes.push_back({mode, recall});
    }
    if (wishes.empty()) wishes.push_back({mode, std::nullopt});
    for (const SparsityWish& wish : wishes) {
      const auto choice = control.resolve(wish);
      if (choice && wish.target_recall.has_value() == (lookahead || threshold)) {
        out.rows.push_back({*choice, wish.target_recall.value_or(0)});
        std::erase(unused, wish.target_recall.value_or(0));
      } else if (choice || line.source_of("modes") == Source::kDefault) {
        out.left_out += (out.left_out.empty() ? "" : ", ") + mode;
      } else {
        return invalid("--modes: " + choice.error().message, "modes");
      }
    }
  }
  if (!unused.empty()) return no_level(unused.front(), options.modes, control);
  return out;
}

}  // namespace

Result<int> run_eval(const CommandLine& line) {
  const Config& config = line.config;
  const auto location = locate_model(config.model.model, config.model.offline);
  if (!location) return tl::unexpected(location.error());
  const auto windows = read_windows(config.text, *location, kDefaultTokens);
  if (!windows) return tl::unexpected(windows.error());
  auto parts = runtime_parts(config, *location);
  if (!parts) return tl::unexpected(parts.error());
  const auto backend = make_backend(config.backend);
  if (!backend) return tl::unexpected(backend.error());

  SparsityRuntime runtime(*std::move(parts));
  ProbedLayers layers(runtime);
  TransformerOptions options = window_options(kTextWindow);
  options.dtype = transformer_options(config).dtype.value_or(DType::kF32);
  options.layers = &layers;
  const auto model = load_transformer(*location, **backend, options);
  if (!model) return tl::unexpected(model.error());
  if (const Status ready = runtime.prepare(); !ready) return tl::unexpected(ready.error());
  const auto choices = make_choices(line, runtime);
  if (!choices) return tl::unexpected(choices.error());

  const int max_tokens = config.text.max_tokens > 0 ? config.text.max_tokens : kDefaultTokens;
  const std::string text = describe_windows(*windows, max_tokens);
  const std::string dtype(dtype_name((*model)->dtype()));
  std::printf("%s, %s, %s\n%s; sets apply to every token\n", location->name.c_str(),
              (*backend)->info().description.c_str(), dtype.c_str(), text.c_str());
  if (!choices->left_out.empty())
    std::printf("left out, not there in this model or its artifact: %s\n",
                choices->left_out.c_str());
  StepProgress progress("evaluating, window");
  const auto rows = evaluate({**model, layers, **backend, runtime, runtime, *windows},
                             choices->rows, [&](int run, int runs) {
                               const auto count = static_cast<int>(windows->size());
                               if (run % (runs / count) == 0)
                                 progress.update(run / (runs / count), count);
                             });
  if (!rows) return tl::unexpected(rows.error());
  std::fputs(to_table(*rows).c_str(), stdout);

  const nlohmann::ordered_json json = {
      {"model", location->name},    {"text", text},          {"dtype", dtype},
      {"windows", windows->size()}, {"window", kTextWindow}, {"tokens", token_count(*windows)},
      {"max_tokens", max_tokens},   {"rows", to_json(*rows)}};
  if (Status done = write_json_file(config.client.json_file, json); !done)
    return tl::unexpected(done.error());
  if (config.text.out_directory.empty()) return 0;
  return write_charts(*rows, config.text.out_directory).map([] { return 0; });
}

}  // namespace dejavu
