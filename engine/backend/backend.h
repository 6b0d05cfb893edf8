// The op contract every backend implements. Ops take a stream explicitly and are queued on it in
// call order (the CPU's run when called, kSide's perhaps later). Pointers in Args are backend
// memory unless said otherwise. Shapes use T tokens, S sequences, d model width, H query heads, G
// KV heads, D head_dim. One thread (the engine thread) calls a Backend at a time.
//
// Order of addition (design, section 6): an output element's bits never depend on how many rows
// share the call, on the row's place among them, on chunking or on thread count.
//
// Errors: an op cannot fail on valid arguments; invalid ones assert. A device failure is reported
// by synchronize().
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/backend/options.h"
#include "engine/core/buffer.h"
#include "engine/core/kv_page.h"
#include "engine/core/result.h"
#include "engine/core/tensor_view.h"
#include "engine/sample/sample_row.h"
#include "engine/sample/sampling_params.h"

namespace dejavu {

enum class StreamId : std::uint8_t { kMain, kSide };

// Seconds since creation that predict() took after it had returned.
struct DeferredPredictTime {
  double beside = 0;  // while another op ran, as if all workers had shared it
  double alone = 0;
};

struct BackendInfo {
  std::string device;            // "cpu", "cuda"
  std::string description;       // e.g. "CPU amx, 2 threads (sched_getaffinity)"
  int threads = 1;               // workers, the calling thread included
  std::size_t memory_bytes = 0;  // usable for weights and KV, after limits (cgroup, GPU)
  std::string memory_source;     // what set the limit
  bool asynchronous = false;     // true: ops run behind the caller; launch a step ahead
  bool native_bf16 = false;      // BF16 is at least as fast as F32 for the same bytes
};

// Sets of units (MLP neurons, or KV groups of heads), one a token: unit i is in token t's set when
// bit i % 32 of word i / 32 of row t is 1. Bits past `units` are 0.
struct MaskView {
  std::uint32_t* words = nullptr;  // [T][stride]; null: no mask, every unit is in
  int units = 0;
  int stride = 0;  // words a row, at least mask_words(units)
};
constexpr int mask_words(int units) { return (units + 31) / 32; }

// out[t] = token_table[ids[t]] + position_table[positions[t] + position_offset]
// The tables may be F32 too: without positions this op gathers rows and converts them.
struct EmbedArgs {
  // [T]; a negative id ~s means "the token sampled last for slot s", read from last_tokens.
  const std::int32_t* ids = nullptr;
  const std::int32_t* last_tokens = nullptr;  // [slots]
  const std::int32_t* positions = nullptr;    // [T]
  ConstMatrix token_table;                    // [vocab][d]
  ConstMatrix position_table;                 // [positions][d]; null data: none
  int position_offset = 0;
  Matrix out;  // F32 or compute dtype [T][d]
};

enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };

struct NormArgs {
  NormKind kind = NormKind::kLayerNorm;
  ConstMatrix x;                  // F32 [T][d]
  const float* weight = nullptr;  // [d]; null: ones
  const float* bias = nullptr;    // [d]; null: zeros
  float epsilon = 1e-5F;
  Matrix out;  // compute dtype or F32 [T][d]; may alias x when F32
};

// y = x W^T + bias, for weights whose rows are outputs (QKV, embeddings as logits, projections).
struct LinearArgs {
  ConstMatrix x;                // compute dtype [T][in]
  ConstMatrix w;                // compute dtype [out][in]
  const float* bias = nullptr;  // [out]; null: none
  Matrix y;                     // F32 or compute dtype [T][out]
  // With a mask of one row: w's first units * group_rows rows are groups of group_rows; those of
  // units that are out are neither read nor computed, and their y is undefined.
  MaskView row_mask;
  int group_rows = 0;
};

// y (+)= x W + bias, for weights whose rows are inputs: the MLP's second projection, one row a
// neuron, and the attention output projection, one row a (head, dim). Partial sums belong to
// `ranges` equal ranges of input rows and are added in range order. Rows of x that are exactly zero
// add nothing.
struct ProjectArgs {
  ConstMatrix x;                // compute dtype [T][in]
  ConstMatrix w;                // compute dtype [in][out]
  const float* bias = nullptr;  // [out]; null: none
  Matrix y;                     // F32 [T][out]
  bool accumulate = false;      // add to y (the residual stream) instead of overwriting
  // Read only the rows of w for which x is not zero in some token. The same bits either way.
  bool skip_zero_rows = false;
  // With one token and a mask of one row: w's rows are groups of group_rows, and x is zero in those
  // of units that are out, which need not be read. The same result, not always the same bits.
  MaskView row_mask;
  int group_rows = 0;
};

enum class Activation : std::uint8_t {
  kRelu,
  kRelu2,  // relu(x)^2
  kSilu,
  kGelu,      // erf
  kGeluTanh,  // tanh approximation
  kFatRelu,   // x > threshold ? x : 0
};

// h = act(x Gate^T + gate_bias) * (x Up^T + up_bias) when gated, else act(x Up^T + up_bias).
// Gate and up rows are neurons.
struct MlpUpArgs {
  ConstMatrix x;                     // compute dtype [T][d]
  ConstMatrix gate;                  // compute dtype [ffn][d]; null data: plain MLP
  ConstMatrix up;                    // compute dtype [ffn][d]
  const float* gate_bias = nullptr;  // [ffn]
  const float* up_bias = nullptr;    // [ffn]
  Activation activation = Activation::kRelu;
  float threshold = 0.0F;  // kFatRelu
  Matrix h;                // compute dtype [T][ffn]
  MaskView mask;           // h is zero for neurons that are out of a token's set
  // Where token t has a level, neurons with |act(gate)| (plain: |act(up)|) <= cutoffs[level] are
  // zero.
  const float* cutoffs = nullptr;              // [levels][ffn]; null: none
  const std::int32_t* cutoff_level = nullptr;  // [T]; -1: none for this token
  // Gated only: read the rows of `up` only where act(gate) is not zero in some token. The same bits
  // either way.
  bool skip_zero_gates = false;
};

// A low-rank predictor of the units that a token will use, with 8-bit weights and a scale a row:
//   z = x / rms(x);  score = up (down z) + bias;  unit in the set: score >= thresholds[level]
// A router without a bottleneck (heads) has no `down`, and rank = the width of x.
struct PredictorView {
  const std::int8_t* down = nullptr;  // [rank][d]; null: none
  const float* down_scale = nullptr;  // [rank]
  const std::int8_t* up = nullptr;    // [units][rank]
  const float* up_scale = nullptr;    // [units]
  const float* bias = nullptr;        // [units]
  const float* thresholds = nullptr;  // [levels][units]; -infinity: always in
  int input = 0;                      // d
  int rank = 0;
  int units = 0;
};

struct PredictArgs {
  ConstMatrix x;                        // F32 [T][d]: the residual stream
  const std::int32_t* level = nullptr;  // [T]; -1: every unit is in
  PredictorView predictor;
  MaskView mask;                        // receives the T sets
  std::int32_t* counts = nullptr;       // [T] receives the size of each set
  std::int32_t* union_ids = nullptr;    // [units] receives the units in any set, ascending
  std::int32_t* union_count = nullptr;  // [1]
};

// The MLP over the union of the tokens' sets, in one pass over its neurons: gathered up (and
// gate), activation, mask, gathered down. Gives the bits that mlp_up with the same mask and
// project give. In two halves, since the residual stream may still be read while the first runs.
struct SparseMlpArgs {
  MlpUpArgs up;                               // its h is not written; cutoffs are not applied
  ConstMatrix down;                           // compute dtype [ffn][d]
  const std::int32_t* union_ids = nullptr;    // [units], as predict() left them for up.mask
  const std::int32_t* union_count = nullptr;  // [1]
  void* scratch = nullptr;                    // sparse_mlp_scratch() bytes
};
struct SparseMlpAddArgs {
  const void* scratch = nullptr;  // as sparse_mlp() left it
  int ffn = 0;
  const float* bias = nullptr;  // [d]; null: none
  Matrix y;                     // F32 [T][d]; added to
};

// How many elements of each row are not zero, and how many columns are not zero in any row.
struct CountNonzeroArgs {
  ConstMatrix x;                        // compute dtype [T][units]
  std::int32_t* counts = nullptr;       // [T]
  std::int32_t* union_count = nullptr;  // [1]
};

// One layer's pages, each of kKvPageTokens tokens: [page][G][token][D], K and V apart.
struct KvView {
  void* k = nullptr;
  void* v = nullptr;
  DType dtype = DType::kF32;
  int pages = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

// Rotates Q in place and K on its way (RoPE, half-split pairing as in Hugging Face Llama), then
// writes K and V of every head into the cache.
struct StoreKvArgs {
  Matrix q;                                 // F32 [T][H*D]
  ConstMatrix k;                            // F32 [T][G*D]
  ConstMatrix v;                            // F32 [T][G*D]
  const std::int32_t* positions = nullptr;  // [T]
  const std::int32_t* slots = nullptr;      // [T]; page * kKvPageTokens + offset
  const float* cos = nullptr;               // [max_position][D/2]; null: no rotation
  const float* sin = nullptr;
  KvView cache;
};

// Causal softmax(q K^T * scale) V over paged K and V. A token at position p of its sequence attends
// to positions max(0, p - window + 1) .. p.
struct AttentionArgs {
  ConstMatrix q;  // F32 [T][H*D]
  KvView cache;
  int sequences = 0;
  const std::int32_t* query_start = nullptr;  // [S+1]: tokens query_start[s]..query_start[s+1] of T
  const std::int32_t* context_length = nullptr;  // [S]: KV tokens, the step's own included
  const std::int32_t* page_table = nullptr;      // [S][page_table_stride]
  int page_table_stride = 0;
  float scale = 1.0F;
  int window = 0;  // 0: unlimited
  Matrix out;      // compute dtype [T][H*D]
  // Units are KV groups. A group out of a token's set has zeros in `out`; its K and V are not read,
  // nor its q, which may be undefined.
  MaskView mask;
};

// Sampling state that lives beside the device: set when a sequence enters a slot (or re-enters it
// after preemption), advanced by sample().
struct SamplerSlotArgs {
  int slot = 0;
  const SamplingParams* params = nullptr;  // host; copied
  std::uint64_t seed = 0;                  // counter-based: draw i depends on (seed, i) alone
  const std::int32_t* prompt = nullptr;    // host
  int prompt_length = 0;
  const std::int32_t* output = nullptr;  // host; tokens generated so far
  int output_length = 0;
};

// `rows` and `out` stay in place until the call has been waited for; one row a slot samples at
// most.
struct SampleArgs {
  ConstMatrix logits;               // F32 [rows][vocab]
  const SampleRow* rows = nullptr;  // host [rows]
  int count = 0;
  std::int32_t* last_tokens = nullptr;  // [slots]; receives each sampled token
  SampleOutput* out = nullptr;          // host [rows]; valid after synchronize() or wait()
};

// What replay() tells recordings apart by.
using ReplayKey = std::vector<std::int64_t>;

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;

  // Zero-filled, aligned to 64 bytes at least. Fails with kResourceExhausted and the numbers.
  virtual Result<Buffer> allocate(std::size_t bytes) = 0;
  virtual void upload(void* device, const void* host, std::size_t bytes, StreamId stream) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes, StreamId stream) = 0;
  // Work queued on `after` from now on waits for everything queued on `before` so far (fork and
  // join).
  virtual void order(StreamId before, StreamId after) = 0;
  virtual Status synchronize(StreamId stream) = 0;
  // mark() names what is queued on a stream so far; wait() returns when that has run, whatever was
  // queued behind it since (a step is collected while the next one runs). An asynchronous backend
  // overrides both.
  virtual std::uint64_t mark(StreamId /*stream*/) { return 0; }
  virtual Status wait(std::uint64_t /*mark*/) { return synchronize(StreamId::kMain); }

  // Queues `work`, ops on both streams that end joined on kMain, or a recording of it from an
  // earlier call with the same key: whoever calls sees to it that every op and every argument in
  // `work` follows from the key. `work` holds neither copies to or from the host nor sample(), and
  // may not be called at all.
  virtual void replay(const ReplayKey& /*key*/, const std::function<void()>& work) { work(); }

  virtual void embed(const EmbedArgs& args, StreamId stream) = 0;
  virtual void norm(const NormArgs& args, StreamId stream) = 0;
  virtual void linear(const LinearArgs& args, StreamId stream) = 0;
  virtual void project(const ProjectArgs& args, StreamId stream) = 0;
  virtual void mlp_up(const MlpUpArgs& args, StreamId stream) = 0;
  virtual void store_kv(const StoreKvArgs& args, StreamId stream) = 0;
  virtual void attention(const AttentionArgs& args, StreamId stream) = 0;

  // Contextual sparsity (design, section 5).
  virtual void predict(const PredictArgs& args, StreamId stream) = 0;
  // Of a backend that is not asynchronous.
  virtual DeferredPredictTime deferred_predict_time() const { return {}; }
  virtual std::size_t sparse_mlp_scratch(int tokens, int width, int ffn) const = 0;
  virtual void sparse_mlp(const SparseMlpArgs& args, StreamId stream) = 0;
  virtual void sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) = 0;
  virtual void count_nonzero(const CountNonzeroArgs& args, StreamId stream) = 0;

  // *out receives the time when everything queued on the stream before has run, in nanoseconds of
  // one clock for both streams. Its resolution is the device's: a GPU's clock may tick each
  // microsecond.
  virtual void stamp(std::int64_t* out, StreamId stream) = 0;

  virtual void set_sampler_slot(const SamplerSlotArgs& args, StreamId stream) = 0;
  virtual void sample(const SampleArgs& args, StreamId stream) = 0;

  // GB/s this backend reads plain memory at, measured now over `bytes` (a multiple of the
  // last-level cache is the caller's business).
  virtual double measure_read_bandwidth(std::size_t bytes) = 0;
};

}  // namespace dejavu
