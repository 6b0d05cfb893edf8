// Times the ops of one decode step on an asynchronous backend, each on the shapes of a model: in a
// recording of every layer's op after the other, so that weights come from memory and the host's
// launches do not show. The layers' weights are of a size several times any cache.
#pragma once

#include <string>
#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

struct KernelRow {
  std::string name;
  std::string shape;
  double us = 0;     // median of the rounds, one layer's op
  double bytes = 0;  // that it must read
  double gbps = 0;
  double fraction_of_peak = 0;  // of the read bandwidth measured beside it
};

struct KernelBenchOptions {
  int width = 7168;
  int ffn = 28672;
  int heads = 56;
  bool gated = false;
  DType dtype = DType::kF16;
  int layers = 8;
  int rounds = 15;
  unsigned seed = 1;
};

Result<std::vector<KernelRow>> run_gpu_kernels(Backend& backend, const KernelBenchOptions& options);

}  // namespace dejavu
