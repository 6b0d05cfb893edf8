// The decoder: embeds, runs the layers through the Attention and Mlp seams, and produces logits.
// Used by the engine thread only.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/backend/backend.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/model_config.h"
#include "engine/model/step_batch.h"
#include "engine/model/weights.h"

namespace dejavu {

class LayerFactory;

struct TransformerOptions {
  // Absent (--dtype auto): the stored one. BF16 stays BF16 also where the backend is slower at its
  // arithmetic: decoding is bound by memory, and it has half the bytes.
  std::optional<DType> dtype;
  int max_model_len = 0;        // 0: the model's own; sizes the RoPE tables
  int max_batch_tokens = 2048;  // sizes the workspace
  int max_logit_rows = 256;
  // Makes the layers' attention and MLP; used while the transformer is made, null: dense.
  const LayerFactory* layers = nullptr;
};

class Transformer {
 public:
  // `directory` holds config.json and *.safetensors (one file, or sharded with an index). Errors
  // name the file and the tensor.
  static Result<std::unique_ptr<Transformer>> load(const std::filesystem::path& directory,
                                                   Backend& backend,
                                                   const TransformerOptions& options,
                                                   const LoadProgress& progress);
  // Random weights from `seed`, for benchmarks and tests.
  static Result<std::unique_ptr<Transformer>> random(const ModelConfig& config, Backend& backend,
                                                     const TransformerOptions& options,
                                                     std::uint64_t seed);
  virtual ~Transformer() = default;

  virtual const ModelConfig& config() const = 0;
  virtual DType dtype() const = 0;
  virtual int max_model_len() const = 0;
  virtual std::size_t weight_bytes() const = 0;
  // Bytes of weights one decode step at batch 1 must read (embedding rows not counted whole).
  virtual std::size_t decode_bytes() const = 0;
  virtual KvCacheShape kv_shape() const = 0;

  // Runs one step and returns logits, F32 [logit_rows][vocab], backend memory valid until the next
  // call; null without logit rows. The batch holds at most max_batch_tokens tokens and
  // max_logit_rows logit rows.
  virtual ConstMatrix forward(const StepBatch& batch, const KvCache& cache) = 0;

  // The parts of forward(), for who works layer by layer (calibration, analysis). The stream
  // between the layers is residual(): F32 [tokens][d], to be read or replaced between two calls.
  virtual void embed(const StepBatch& batch) = 0;
  virtual void run_layer(int layer, const StepBatch& batch, const KvView& cache) = 0;
  virtual ConstMatrix logits(const StepBatch& batch) = 0;
  virtual Matrix residual(int tokens) const = 0;
};

}  // namespace dejavu
