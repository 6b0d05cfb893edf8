// The kernels of one instruction-set path, as a table of functions. A kernel runs one share of an
// op on the calling thread; the ops (cpu_backend.cpp) cut the shares. The units that define these
// tables are compiled for their instruction set: they use no standard library code and no inline
// function of other headers, so that no other unit can end up running it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/isa.h"

namespace dejavu {

// Weights whose rows are outputs: linear, and mlp_up with its gate and activation.
struct RowsJob {
  ConstMatrix x;
  ConstMatrix w;     // up, for an MLP
  ConstMatrix gate;  // null data: none
  const float* bias = nullptr;
  const float* gate_bias = nullptr;
  bool activated = false;
  Activation activation = Activation::kRelu;
  float threshold = 0;
  Matrix y;
  void* packed = nullptr;  // x as this kernel reads it
};

// Weights whose rows are inputs. Inputs are cut into `ranges` ranges of `range_length` (the last
// one shorter); sums of a range are one partial.
struct ProjectJob {
  ConstMatrix x;
  ConstMatrix w;
  const float* bias = nullptr;
  Matrix y;
  bool accumulate = false;
  void* packed = nullptr;
  std::int64_t ranges = 0;
  std::int64_t range_length = 0;
  float* partials = nullptr;        // [ranges][T to kPackTokens][partial_stride]; few tokens
  std::int64_t partial_stride = 0;  // a multiple of 16, at least out to kColumnPanel
};

// Items of kPackTokens tokens.
inline constexpr std::int64_t kPackTokens = 16;
// Row blocks and column panels begin at multiples of these.
inline constexpr std::int64_t kRowBlock = 16;
inline constexpr std::int64_t kColumnPanel = 64;
inline constexpr std::int64_t kPanelColumns = 256;
inline constexpr std::int64_t kTokenBlock = 256;

struct RowsKernel {
  std::size_t (*packed_bytes)(std::int64_t tokens, std::int64_t in) = nullptr;
  void (*pack)(const RowsJob& job, std::int64_t group) = nullptr;
  // Rows [begin, end) of w for every token.
  void (*run)(const RowsJob& job, std::int64_t begin, std::int64_t end) = nullptr;
};

struct ProjectKernel {
  std::size_t (*packed_bytes)(std::int64_t tokens, std::int64_t in) = nullptr;
  void (*pack)(const ProjectJob& job, std::int64_t group) = nullptr;
  // The partial of one range for columns [begin, end), into partials.
  void (*range)(const ProjectJob& job, std::int64_t range, std::int64_t begin,
                std::int64_t end) = nullptr;
  // y for columns [begin, end) from the partials.
  void (*fold)(const ProjectJob& job, std::int64_t begin, std::int64_t end) = nullptr;
  // y for columns [begin, end), at most kPanelColumns, and up to kTokenBlock tokens; all ranges.
  void (*panels)(const ProjectJob& job, std::int64_t first_token, std::int64_t begin,
                 std::int64_t end) = nullptr;
};

// Some consecutive queries of one sequence, for the query heads that share one KV head.
struct AttentionItem {
  int sequence = 0;
  int kv_head = 0;
  int first_query = 0;  // within the step's queries of the sequence
  int queries = 0;
};

struct AttentionKernel {
  std::size_t (*scratch_floats)(const AttentionArgs& args, int queries) = nullptr;
  void (*run)(const AttentionArgs& args, const AttentionItem& item, float* scratch) = nullptr;
};

struct CpuKernels {
  RowsKernel rows[3];        // by DType of the weights
  ProjectKernel project[3];  // by DType of the weights
  AttentionKernel attention;
  void (*embed)(const EmbedArgs& args, std::int64_t token) = nullptr;
  void (*norm)(const NormArgs& args, std::int64_t token) = nullptr;
  void (*store_kv)(const StoreKvArgs& args, std::int64_t token) = nullptr;
  // Reads a block (a multiple of 512 bytes) and returns something that depends on all of it.
  float (*read)(const void* data, std::size_t bytes) = nullptr;
};

const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
const CpuKernels& avx512_bf16_kernels();  // BF16 rows and project only; the rest is AVX-512's
const CpuKernels& amx_kernels();          // likewise

// The whole table of a path.
CpuKernels kernels_of(CpuIsa isa);

}  // namespace dejavu
