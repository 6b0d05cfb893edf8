// Benchmarks on a GPU without the daemon and its libraries: steps of named shapes with random
// weights, and a table of kernels.
//
//   gpu_bench kernels WIDTH FFN HEADS [gated]
//   gpu_bench step SHAPE CONTEXT BATCHES MLP_DENSITY HEAD_DENSITY [UNION_DENSITY [MODES]]
//
// BATCHES and MODES are lists with commas. Prints a table and appends a line of JSON to $JSON.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "bench/bench_json.h"
#include "engine/backend/factory.h"

namespace dejavu {
namespace {

using Json = nlohmann::ordered_json;

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

int run_steps(Backend& backend, const std::vector<std::string>& args) {
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
  const auto shape = ModelConfig::named_shape(options.shape);
  if (!shape) return complain(shape.error());
  const int most = *std::max_element(options.batches.begin(), options.batches.end());
  SparseBenchLayers layers(options, most);
  TransformerOptions model_options;
  model_options.dtype = DType::kF16;
  model_options.layers = &layers;
  model_options.max_batch_tokens = most;
  model_options.max_logit_rows = most;
  const auto model = Transformer::random(*shape, backend, model_options, options.seed);
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

int run(const std::vector<std::string>& args) {
  const auto backend = make_backend({.device = DeviceChoice::kCuda});
  if (!backend) return complain(backend.error());
  if (args.size() >= 4 && args.front() == "kernels") return run_kernels(**backend, args);
  if (args.size() >= 6 && args.front() == "step") return run_steps(**backend, args);
  std::fprintf(stderr, "gpu_bench kernels ... or gpu_bench step ...: see bench/gpu_bench.cpp\n");
  return 2;
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) { return dejavu::run({argv + 1, argv + argc}); }
