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
  // Of an MLP; see MlpUpArgs.
  MaskView mask;
  const float* cutoffs = nullptr;
  const std::int32_t* cutoff_level = nullptr;
  bool skip_zero_gates = false;
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

// An MLP's neurons `ids`, ascending, and what they add to the partials of `down`.
struct GatherMlpJob {
  RowsJob up;       // its y and cutoffs are not used
  ProjectJob down;  // its x is not used: packed x is the up job's business
  const std::int32_t* ids = nullptr;
  std::int64_t count = 0;
};

// Whole 8-bit rows against tokens of 16 bits; sums are exact.
struct PredictRows {
  const std::int8_t* w = nullptr;  // [rows][in]
  std::int64_t rows = 0;
  std::int64_t in = 0;
  const float* row_scale = nullptr;  // [rows]
  std::int64_t tokens = 0;
  void* packed = nullptr;        // tokens as this kernel reads them
  float* token_scale = nullptr;  // [tokens] what one of their steps is worth
};

// The first projection, or the copy of tokens that have none.
struct PredictLowJob {
  PredictRows rows;
  float* low = nullptr;  // [tokens][rows.rows]
};

struct PredictSetJob {
  PredictRows rows;
  const float* bias = nullptr;           // [units]
  const float* thresholds = nullptr;     // [levels][units]
  const std::int32_t* level = nullptr;   // [tokens]
  std::uint32_t* const* sets = nullptr;  // [tokens] rows of the mask
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
  // Whether range() reads whole rows as streams, two ranges better than one (see one_stream.h), and
  // the partials of two. `skip`: and leaves out the rows whose inputs are zero.
  bool (*streams)(const ProjectJob& job, bool skip) = nullptr;  // null: never
  void (*range_pair)(const ProjectJob& job, std::int64_t range, std::int64_t later) = nullptr;
  // y for columns [begin, end) from the partials.
  void (*fold)(const ProjectJob& job, std::int64_t begin, std::int64_t end) = nullptr;
  // y for columns [begin, end), at most kPanelColumns, and up to kTokenBlock tokens; all ranges.
  void (*panels)(const ProjectJob& job, std::int64_t first_token, std::int64_t begin,
                 std::int64_t end) = nullptr;
};

// Weights read where a token needs them only. Tokens are few: at most kGatherTokens.
inline constexpr std::int64_t kGatherTokens = 64;
inline constexpr std::int64_t kSetWord = 32;  // ids of a block; ranges begin at multiples of it

struct GatherKernel {
  // As of RowsKernel, for the jobs of the functions below that have rows.
  std::size_t (*packed_bytes)(std::int64_t tokens, std::int64_t in) = nullptr;
  void (*pack)(const RowsJob& job, std::int64_t group) = nullptr;
  // The partial of one range of neurons, from their rows.
  void (*mlp_range)(const GatherMlpJob& job, std::int64_t range) = nullptr;
  // As ProjectKernel::range, without the rows whose inputs are zero.
  void (*project_range)(const ProjectJob& job, std::int64_t range, std::int64_t begin,
                        std::int64_t end) = nullptr;
  // As RowsKernel::run for a gated MLP, without the rows of `w` whose gates are zero.
  void (*gated_rows)(const RowsJob& job, std::int64_t begin, std::int64_t end) = nullptr;
};

struct PredictKernel {
  std::size_t (*packed_bytes)(std::int64_t tokens, std::int64_t in) = nullptr;
  // Packs tokens of x [tokens][in], kPackTokens of them; `normalise`: the scale includes 1 / rms.
  void (*pack)(const PredictRows& rows, const float* const* x, std::int64_t group,
               bool normalise) = nullptr;
  // Rows [begin, end), beginning at a multiple of kSetWord.
  void (*low)(const PredictLowJob& job, std::int64_t begin, std::int64_t end) = nullptr;
  void (*sets)(const PredictSetJob& job, std::int64_t begin, std::int64_t end) = nullptr;
};

// Some consecutive queries of one sequence, for the query heads that share one KV head.
struct AttentionItem {
  int sequence = 0;
  int kv_head = 0;
  int first_query = 0;  // within the step's queries of the sequence
  int queries = 0;
  const AttentionItem* next = nullptr;  // likely read after this one; null: none
};

struct AttentionKernel {
  std::size_t (*scratch_floats)(const AttentionArgs& args, int queries) = nullptr;
  void (*run)(const AttentionArgs& args, const AttentionItem& item, float* scratch) = nullptr;
};

struct CpuKernels {
  RowsKernel rows[3];        // by DType of the weights
  ProjectKernel project[3];  // by DType of the weights
  GatherKernel gather[3];    // by DType of the weights
  PredictKernel predict;
  AttentionKernel attention;
  void (*embed)(const EmbedArgs& args, std::int64_t token) = nullptr;
  void (*norm)(const NormArgs& args, std::int64_t token) = nullptr;
  void (*store_kv)(const StoreKvArgs& args, std::int64_t token) = nullptr;
  // Reads a block (a multiple of 512 bytes) and returns something that depends on all of it.
  float (*read)(const void* data, std::size_t bytes) = nullptr;
};

const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
const CpuKernels& avx512_bf16_kernels();  // BF16 weights only; the rest is AVX-512's
const CpuKernels& amx_kernels();          // BF16 weights and predict only; likewise

// The whole table of a path.
CpuKernels kernels_of(CpuIsa isa);

}  // namespace dejavu
