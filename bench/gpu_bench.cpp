// Benchmarks on a GPU without the daemon and its libraries: steps of named shapes with random
// weights, a table of kernels, and timelines.
//
//   gpu_bench kernels WIDTH FFN HEADS [gated]
//   gpu_bench step SHAPE CONTEXT BATCHES MLP_DENSITY HEAD_DENSITY [UNION_DENSITY [MODES]]
//   gpu_bench timeline SHAPE CONTEXT BATCH MLP_DENSITY HEAD_DENSITY [UNION_DENSITY]
//
// BATCHES and MODES are lists with commas. A timeline says when each op of two layers ran. Prints a
// table and appends a line of JSON to $JSON.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "bench/bench_json.h"
#include "bench/timeline.h"
#include "engine/backend/factory.h"

namespace dejavu {
namespace {

using Json = nlohmann::ordered_json;

// Enough that the ones before the stamped two fill every cache, and made in seconds.
constexpr int kTimelineLayers = 8;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::stringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

int complain(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

void write(const Json& json) {
  if (const char* path = std::getenv("JSON"); path != nullptr)
    std::ofstream(path, std::ios::app) << json.dump() << "\n";
}

int run_kernels(Backend& backend, const std::vector<std::string>& args) {
  KernelBenchOptions options;
  options.width = std::stoi(args.at(1));
  options.ffn = std::stoi(args.at(2));
  options.heads = std::stoi(args.at(3));
  options.gated = args.size() > 4;
  const auto rows = run_gpu_kernels(backend, options);
  if (!rows) return complain(rows.error());
  std::printf("%-26s %-34s %9s %9s %9s %6s\n", "kernel", "shape", "us", "MB", "GB/s", "peak");
  for (const KernelRow& row : *rows)
    std::printf("%-26s %-34s %9.2f %9.1f %9.1f %5.1f%%\n", row.name.c_str(), row.shape.c_str(),
                row.us, row.bytes / 1e6, row.gbps, 100 * row.fraction_of_peak);
  write({{"description", backend.info().description}, {"kernels", to_json(*rows)}});
  return 0;
}

// SHAPE CONTEXT BATCHES MLP_DENSITY HEAD_DENSITY [UNION_DENSITY [MODES]], from the second on.
StepBenchOptions step_options(const std::vector<std::string>& args) {
  StepBenchOptions options;
  options.shape = args.at(1);
  options.context = std::stoi(args.at(2));
  options.batches.clear();
  for (const std::string& batch : split(args.at(3))) options.batches.push_back(std::stoi(batch));
  options.mlp_density = std::stod(args.at(4));
  options.head_density = std::stod(args.at(5));
  options.union_density = args.size() > 6 ? std::stod(args.at(6)) : 0;
  options.modes = split(args.size() > 7 ? args.at(7) : "dense,lookahead,inline,known");
  options.prefill_tokens = 0;
  options.predictor_rank = 256;
  options.rounds = 15;
  return options;
}

int most_sequences(const StepBenchOptions& options) {
  return *std::max_element(options.batches.begin(), options.batches.end());
}

Result<std::unique_ptr<Transformer>> make_model(Backend& backend, const StepBenchOptions& options,
                                                const SparseBenchLayers& layers,
                                                int most_layers = std::numeric_limits<int>::max()) {
  auto shape = ModelConfig::named_shape(options.shape);
  if (!shape) return tl::unexpected(shape.error());
  shape->layers = std::min(shape->layers, most_layers);
  TransformerOptions model_options;
  model_options.dtype = DType::kF16;
  model_options.layers = &layers;
  model_options.max_batch_tokens = most_sequences(options);
  model_options.max_logit_rows = model_options.max_batch_tokens;
  return Transformer::random(*shape, backend, model_options, options.seed);
}

int run_steps(Backend& backend, const std::vector<std::string>& args) {
  const StepBenchOptions options = step_options(args);
  SparseBenchLayers layers(options, most_sequences(options));
  const auto model = make_model(backend, options, layers);
  if (!model) return complain(model.error());
  const auto result = run_step_bench(**model, backend, options, layers, {});
  if (!result) return complain(result.error());
  for (const StepBenchRow& row : result->rows) {
    std::printf(
        "%s %-9s B %2d ctx %d mlp %.3f union %.3f heads %.3f: %8.3f ms %8.1f GB/s %5.1f%% "
        "%.2fx\n",
        options.shape.c_str(), row.mode.c_str(), row.batch, row.context, row.mlp_density,
        row.union_density, row.head_density, row.step_ms, row.bytes_per_step / row.step_ms / 1e6,
        100 * row.bandwidth_fraction, row.speedup);
    if (row.predictor_ms != 0)
      std::printf("  predictors %.3f ms, %.0f%% hidden\n", row.predictor_ms, 100 * row.overlap);
  }
  write(to_json(*result, {options, backend.info(), (*model)->dtype(), ""}));
  return 0;
}

int run_timeline(Backend& backend, const std::vector<std::string>& args) {
  const StepBenchOptions options = step_options(args);
  SparseBenchLayers layers(options, most_sequences(options));
  const auto stamping = StampingBackend::create(backend);
  if (!stamping) return complain(stamping.error());
  const auto model = make_model(**stamping, options, layers, kTimelineLayers);
  if (!model) return complain(model.error());
  const auto timeline = record_timeline(**model, **stamping, options, layers);
  if (!timeline) return complain(timeline.error());
  std::printf("%s: %d layers %.3f ms, with stamps %.3f ms; the clock ticks every %.0f ns\n",
              options.shape.c_str(), timeline->layers, timeline->step_ms, timeline->stamped_step_ms,
              timeline->tick_ns);
  for (const Timeline::Op& op : timeline->ops)
    std::printf("layer %2d %-4s %9.2f to %9.2f us %8.2f us  %s\n", op.layer,
                op.side ? "side" : "main", op.begin_us, op.end_us, op.end_us - op.begin_us,
                op.name.c_str());
  write({{"description", backend.info().description}, {"timeline", to_json(*timeline, options)}});
  return 0;
}

int run(const std::vector<std::string>& args) {
  const auto backend = make_backend({.device = DeviceChoice::kCuda});
  if (!backend) return complain(backend.error());
  if (args.size() >= 4 && args.front() == "kernels") return run_kernels(**backend, args);
  if (args.size() >= 6 && args.front() == "step") return run_steps(**backend, args);
  if (args.size() >= 6 && args.front() == "timeline") return run_timeline(**backend, args);
  std::fprintf(stderr, "gpu_bench kernels, step or timeline: see bench/gpu_bench.cpp\n");
  return 2;
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) { return dejavu::run({argv + 1, argv + argc}); }
