#include "bench/bench_json.h"

namespace dejavu {
namespace {

using Json = nlohmann::ordered_json;

Json row_json(const StepBenchRow& row, const BenchSubject& subject) {
  Json json = {{"phase", row.phase},
               {"mode", row.mode},
               {"shape", subject.options.shape},
               {"model", subject.model},
               {"device", subject.backend.device},
               {"dtype", std::string(dtype_name(subject.dtype))},
               {"threads", subject.backend.threads},
               {"batch", row.batch},
               {"context", row.context},
               {"mlp_density", row.mlp_density},
               {"head_density", row.head_density},
               {"union_density", row.union_density},
               {"predictor_rank", row.predictor_rank},
               {"seed", subject.options.seed},
               {"tokens_per_second", row.tokens_per_second},
               {"step_ms", row.step_ms},
               {"bytes_per_step", row.bytes_per_step},
               {"bandwidth_fraction", row.bandwidth_fraction},
               {"tflops", row.tflops},
               {"speedup", row.speedup}};
  if (row.predictor_ms != 0) {
    json["predictor_ms"] = row.predictor_ms;
    json["overlap"] = row.overlap;
  }
  return json;
}

}  // namespace

Json to_json(const StepBenchResult& result, const BenchSubject& subject) {
  Json rows = Json::array();
  for (const StepBenchRow& row : result.rows) rows.push_back(row_json(row, subject));
  return {{"description", subject.backend.description},
          {"read_gbps", result.read_gbps},
          {"rounds", subject.options.rounds},
          {"rows", std::move(rows)}};
}

Json to_json(const std::vector<KernelRow>& kernels) {
  Json list = Json::array();
  for (const KernelRow& kernel : kernels)
    list.push_back({{"name", kernel.name},
                    {"shape", kernel.shape},
                    {"us", kernel.us},
                    {"bytes", kernel.bytes},
                    {"gbps", kernel.gbps},
                    {"fraction_of_peak", kernel.fraction_of_peak}});
  return list;
}

}  // namespace dejavu
