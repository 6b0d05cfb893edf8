// `dejavu bench`: decode and prefill steps of a model or a named shape, against the machine's read
// bandwidth.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "bench/step_bench.h"
#include "engine/backend/factory.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/model_stack.h"

namespace dejavu {
namespace {

Result<std::unique_ptr<Transformer>> make_model(const CommandLine& line, Backend& backend,
                                                const SparseBenchLayers& layers) {
  const StepBenchOptions& bench = line.config.bench;
  TransformerOptions options = transformer_options(line.config);
  options.layers = &layers;
  options.max_batch_tokens = bench.prefill_tokens;
  for (const int batch : bench.batches) {
    options.max_batch_tokens = std::max(options.max_batch_tokens, batch);
    options.max_logit_rows = std::max(options.max_logit_rows, batch);
  }
  if (!bench.shape.empty()) {
    const auto shape = ModelConfig::named_shape(bench.shape);
    if (!shape) return tl::unexpected(shape.error());
    std::fprintf(stderr, "drawing random weights for %s\n", bench.shape.c_str());
    return Transformer::random(*shape, backend, options, bench.seed);
  }
  const auto location = locate_model(line.config.model.model, line.config.model.offline);
  if (!location) return tl::unexpected(location.error());
  return load_transformer(*location, backend, options);
}

void print_table(const StepBenchResult& result) {
  std::printf("%-8s %-9s %6s %8s %11s %10s %9s %11s %8s %6s %6s %8s\n", "phase", "mode", "batch",
              "context", "tokens/s", "step ms", "GB/s", "of read bw", "TFLOP/s", "mlp", "heads",
              "ratio");
  for (const StepBenchRow& row : result.rows) {
    std::printf("%-8s %-9s %6d %8d %11.1f %10.2f %9.2f %10.1f%% %8.3f %6.3f %6.3f %7.2fx\n",
                row.phase.c_str(), row.mode.c_str(), row.batch, row.context, row.tokens_per_second,
                row.step_ms, row.bytes_per_step / row.step_ms / 1e6, 100 * row.bandwidth_fraction,
                row.tflops, row.mlp_density, row.head_density, row.speedup);
  }
  std::printf("read bandwidth %.1f GB/s (median of samples between steps)\n", result.read_gbps);
}

nlohmann::ordered_json to_json(const CommandLine& line, const Transformer& model,
                               const BackendInfo& info, const StepBenchResult& result) {
  const StepBenchOptions& bench = line.config.bench;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const StepBenchRow& row : result.rows) {
    rows.push_back({{"phase", row.phase},
                    {"mode", row.mode},
                    {"shape", bench.shape},
                    {"model", line.config.model.model},
                    {"device", info.device},
                    {"dtype", std::string(dtype_name(model.dtype()))},
                    {"threads", info.threads},
                    {"batch", row.batch},
                    {"context", row.context},
                    {"mlp_density", row.mlp_density},
                    {"head_density", row.head_density},
                    {"union_density", row.union_density},
                    {"predictor_rank", row.predictor_rank},
                    {"seed", bench.seed},
                    {"tokens_per_second", row.tokens_per_second},
                    {"step_ms", row.step_ms},
                    {"bytes_per_step", row.bytes_per_step},
                    {"bandwidth_fraction", row.bandwidth_fraction},
                    {"tflops", row.tflops},
                    {"speedup", row.speedup}});
  }
  return {{"description", info.description},
          {"read_gbps", result.read_gbps},
          {"rounds", bench.rounds},
          {"rows", std::move(rows)}};
}

Status check_positions(const Transformer& model, const StepBenchOptions& bench) {
  const int longest = std::max(bench.context, bench.prefill_tokens);
  if (longest <= model.max_model_len()) return {};
  return invalid("--context and --prefill-tokens: this model ends at " +
                 std::to_string(model.max_model_len()) + " tokens");
}

}  // namespace

Result<int> run_bench(const CommandLine& given) {
  CommandLine line = given;
  StepBenchOptions& bench = line.config.bench;
  bench.seed = line.config.engine.seed != 0 ? line.config.engine.seed : std::random_device{}();
  if (bench.batches.empty()) return invalid("--batch: give at least one batch size", "batch");
  if (bench.modes.empty()) return invalid("--modes: give at least one mode", "modes");
  if (!bench.shape.empty() && !line.config.model.model.empty()) {
    return invalid("--shape: give either a shape or a MODEL", "shape");
  }
  const auto backend = make_backend(line.config.backend);
  if (!backend) return tl::unexpected(backend.error());
  const BackendInfo& info = (*backend)->info();
  SparseBenchLayers layers(bench, *std::max_element(bench.batches.begin(), bench.batches.end()));
  const auto model = make_model(line, **backend, layers);
  if (!model) return tl::unexpected(model.error());
  if (auto fits = check_positions(**model, bench); !fits) return tl::unexpected(fits.error());

  std::printf("%s; %s, seed %llu\n", info.description.c_str(),
              std::string(dtype_name((*model)->dtype())).c_str(),
              static_cast<unsigned long long>(bench.seed));
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const RoundProgress progress = [terminal](int done, int total) {
    std::fprintf(stderr, "%sround %d of %d%s", terminal ? "\r" : "", done, total,
                 terminal && done < total ? "" : "\n");
  };
  const auto result = run_step_bench(**model, **backend, bench, layers, progress);
  if (!result) return tl::unexpected(result.error());
  print_table(*result);
  return write_json_file(line.config.client.json_file, to_json(line, **model, info, *result))
      .map([] { return 0; });
}

}  // namespace dejavu
