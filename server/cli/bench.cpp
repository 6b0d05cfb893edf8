// `dejavu bench`: decode and prefill steps of a model or a named shape, against the machine's read
// bandwidth.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "bench/bench_json.h"
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
  for (const StepBenchRow& row : result.rows) {
    if (row.predictor_ms == 0) continue;
    std::printf(
        "batch %d: predictors take %.2f ms in line, %.0f%% of it hidden beside other work\n",
        row.batch, row.predictor_ms, 100 * row.overlap);
  }
  std::printf("read bandwidth %.1f GB/s (median of samples between steps)\n", result.read_gbps);
}

// The kernels on the model's shapes, where a device has some of its own.
Result<std::vector<KernelRow>> run_kernels(Backend& backend, const ModelConfig& config) {
  KernelBenchOptions options;
  options.width = config.hidden_size;
  options.ffn = config.ffn_size;
  options.heads = config.heads;
  options.gated = config.gated_mlp;
  return run_gpu_kernels(backend, options);
}

void print_kernels(const std::vector<KernelRow>& kernels) {
  std::printf("%-26s %-34s %9s %9s %9s\n", "kernel", "shape", "us", "GB/s", "of read bw");
  for (const KernelRow& row : kernels)
    std::printf("%-26s %-34s %9.2f %9.1f %8.1f%%\n", row.name.c_str(), row.shape.c_str(), row.us,
                row.gbps, 100 * row.fraction_of_peak);
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
  auto model = make_model(line, **backend, layers);
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
  nlohmann::ordered_json json =
      to_json(*result, {bench, info, (*model)->dtype(), line.config.model.model});
  if (info.device == "cuda") {
    const ModelConfig config = (*model)->config();
    model->reset();  // for the memory
    const auto kernels = run_kernels(**backend, config);
    if (!kernels) return tl::unexpected(kernels.error());
    print_kernels(*kernels);
    json["kernels"] = to_json(*kernels);
  }
  return write_json_file(line.config.client.json_file, json).map([] { return 0; });
}

}  // namespace dejavu
