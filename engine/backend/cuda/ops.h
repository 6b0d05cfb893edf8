// The CUDA backend's ops, one file a family. Contracts: engine/backend/backend.h.
#pragma once

#include "engine/backend/backend.h"
#include "engine/backend/cuda/queue.h"

namespace dejavu::cuda {

void embed(const Queue& queue, const EmbedArgs& args);
void norm(const Queue& queue, const NormArgs& args);
void store_kv(const Queue& queue, const StoreKvArgs& args);
void linear(const Queue& queue, const LinearArgs& args);
void mlp_up(const Queue& queue, const MlpUpArgs& args);
void project(const Queue& queue, const ProjectArgs& args);
void attention(const Queue& queue, const AttentionArgs& args);
void predict(const Queue& queue, const PredictArgs& args);
void count_nonzero(const Queue& queue, const CountNonzeroArgs& args);

std::size_t sparse_mlp_scratch(int processors, int tokens, int width, int ffn);
void sparse_mlp(const Queue& queue, const SparseMlpArgs& args);
void sparse_mlp_add(const Queue& queue, const SparseMlpAddArgs& args);

void stamp(const Queue& queue, std::int64_t* out);

// Reads `bytes` once.
void read_memory(const Queue& queue, const void* data, std::size_t bytes);

}  // namespace dejavu::cuda
