// Results of benchmarks as JSON: what `dejavu bench --json` writes and gpu_bench prints.
#pragma once

#include <nlohmann/json.hpp>

#include "bench/gpu_kernels.h"
#include "bench/step_bench.h"

namespace dejavu {

struct BenchSubject {
  const StepBenchOptions& options;
  const BackendInfo& backend;
  DType dtype;
  std::string model;  // empty: a named shape
};

nlohmann::ordered_json to_json(const StepBenchResult& result, const BenchSubject& subject);
nlohmann::ordered_json to_json(const std::vector<KernelRow>& kernels);

}  // namespace dejavu
