// What the layers of a sparse model share: how each is computed in the step under way, and memory
// in the backend. Filled by the runtime, read by the layers. Engine thread only.
#pragma once

#include <optional>
#include <vector>

#include "engine/model/layer_factory.h"
#include "sparsity/audit.h"
#include "sparsity/device_predictor.h"
#include "sparsity/policy.h"

namespace dejavu {

// Gathering serves decode steps; a step of more tokens reads everything.
inline constexpr int kMaxGatherTokens = 64;

struct LayerPlan {
  MlpMethod method = MlpMethod::kWhole;
  bool neurons_predicted = false;  // tokens have sets of neurons
  bool heads_predicted = false;    // tokens have sets of KV groups
  bool cutoffs = false;            // a token has a threshold level
  bool counted = false;            // activations that are not zero are counted
};

// What is counted a token: units in the predicted sets, activations that are not zero.
enum class CountKind : std::uint8_t { kNeurons, kHeads, kActive };
inline constexpr int kCountKinds = 3;
inline constexpr int kPredictors = 2;  // a layer's, the first two kinds

// When a predictor ran, by Backend::stamp().
struct PredictStamps {
  std::int64_t main_done = 0;  // the main stream with what was queued before it: its other work
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

struct SparseStep {
  int tokens = 0;
  std::vector<LayerPlan> layers;
  AuditRecord* audit = nullptr;  // what this step audits; null: nothing
  StreamId predict_stream = StreamId::kSide;
  bool stamped = false;  // predictors leave their stamps
  // On a synchronous backend: seconds in predict(), and what it had left for later before this
  // step.
  double predict_seconds = 0;
  DeferredPredictTime deferred_before;
};

// Of a stamped step: how long its predictors ran, and how much of it beside other work.
struct PredictTime {
  double seconds = 0;
  double beside = 0;
};
PredictTime predict_time(const std::vector<LayerPlan>& plans,
                         const std::vector<PredictStamps>& stamps);

// For steps of at most `max_tokens` tokens.
struct SparseMemory {
  static Result<SparseMemory> create(const LayerContext& context);

  MaskView neurons;                   // [max_tokens + 1][ffn]; the last row holds every neuron
  MaskView heads;                     // [max_tokens][G]
  std::int32_t* union_ids = nullptr;  // of the neurons
  std::int32_t* head_union_ids = nullptr;
  void* scratch = nullptr;         // of sparse_mlp, for kMaxGatherTokens
  std::int32_t* counts = nullptr;  // [layers][kCountKinds][tokens + 1]: a union's is last
  // An asynchronous backend's, of stamped steps: [layers][neurons, heads]
  PredictStamps* stamps = nullptr;
  int max_tokens = 0;

  // One token's two ways: row 0 as served, row 1 dense.
  Matrix audit_normed;                  // compute dtype [2][d]
  Matrix audit_hidden;                  // compute dtype [2][ffn]
  Matrix audit_qkv;                     // F32 [1][H*D + 2*G*D]
  Matrix audit_heads;                   // compute dtype [2][H*D]
  Matrix audit_out;                     // F32 [2][d]
  std::int32_t* audit_index = nullptr;  // AuditRecord::index
  std::vector<Buffer> storage;

  std::int32_t* count_of(const SparseStep& step, int layer, CountKind kind) const {
    const int block = layer * kCountKinds + static_cast<int>(kind);
    return counts + static_cast<std::ptrdiff_t>(block) * (step.tokens + 1);
  }
  PredictStamps* stamps_of(int layer, CountKind kind) const {
    return stamps + static_cast<std::ptrdiff_t>(kPredictors) * layer + static_cast<int>(kind);
  }
};

// One layer's part of the artifact, in backend memory.
struct LayerModel {
  std::optional<DevicePredictor> neurons;
  std::optional<DevicePredictor> heads;
  std::vector<float> cutoffs;  // [levels][ffn]; empty: none
  Buffer device_cutoffs;
};

// What a layer's implementations know.
struct SparseLayer {
  LayerContext context;
  SparseStep& step;
  const SparseMemory& memory;
  const LayerModel& model;

  const LayerPlan& plan() const { return step.layers[static_cast<std::size_t>(context.index)]; }
  // The audit of this layer in this step; null: none of this kind.
  AuditRecord* audit(AuditKind kind) const;
  void predict(const PredictArgs& args, CountKind kind) const;
  // Copies row `token` of `from` into each row of `to`.
  void gather_audited(const ConstMatrix& from, const Matrix& to) const;

 private:
  void predict_asynchronously(const PredictArgs& args, CountKind kind) const;
};

}  // namespace dejavu
