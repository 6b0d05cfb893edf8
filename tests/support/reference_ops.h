// The ops of engine/backend/backend.h, slow and clear, accumulating in double. Pointers in Args are
// host memory. Results are dense [rows][cols], not rounded to the output's dtype.
#pragma once

#include <vector>

#include "engine/backend/backend.h"

namespace dejavu::reference {

std::vector<double> embed(const EmbedArgs& args);
std::vector<double> norm(const NormArgs& args);
std::vector<double> linear(const LinearArgs& args);
// The old y is read when args.accumulate.
std::vector<double> project(const ProjectArgs& args);
std::vector<double> mlp_up(const MlpUpArgs& args);
double activate(Activation kind, double x, double threshold);

struct RotatedHeads {
  std::vector<double> q;  // [T][H*D]
  std::vector<double> k;  // [T][G*D]
};
RotatedHeads rotate(const StoreKvArgs& args);

std::vector<double> attention(const AttentionArgs& args);

// Index of (slot, kv_head, 0) in a KvView's storage.
std::size_t kv_index(const KvView& cache, int slot, int kv_head);

}  // namespace dejavu::reference
