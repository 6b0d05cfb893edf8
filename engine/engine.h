// The step loop: one thread that owns sequences, KV pages and the device. Plan, launch, collect.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/step_sparsity.h"
#include "engine/model/transformer.h"
#include "engine/options.h"
#include "engine/request.h"

namespace dejavu {

// What one step did; handed to the observer on the engine thread, before the step's tokens go out.
struct StepReport {
  double seconds = 0;
  int prompt_tokens = 0;  // computed in this step
  int decode_tokens = 0;
  int sequences = 0;
  int preemptions = 0;
};

// A snapshot for metrics, logs and /health; any thread may take one.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int kv_pages_total = 0;
  int kv_pages_used = 0;  // held by live sequences (cached but unreferenced pages are free)
  std::uint64_t prefix_query_tokens = 0;
  std::uint64_t prefix_hit_tokens = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t steps = 0;
  double seconds_since_step = 0;  // heartbeat; 0 when idle
};

class Engine {
 public:
  using StepObserver = std::function<void(const StepReport&)>;
  using FatalHandler = std::function<void(const Error&)>;  // device failure, on the engine thread

  // Sizes the KV cache from options and memory left; fails with numbers when the model does not
  // fit. `sparsity` outlives the engine and made the model's layers; null: every token is dense.
  static Result<std::unique_ptr<Engine>> create(Backend& backend,
                                                std::unique_ptr<Transformer> model,
                                                const EngineOptions& options,
                                                StepSparsity* sparsity = nullptr);
  virtual ~Engine() = default;

  // Before start().
  virtual void set_observers(StepObserver on_step, FatalHandler on_fatal) = 0;
  virtual void start() = 0;
  // Any thread. All sequences of a request enter together or not at all: RESOURCE_EXHAUSTED when
  // the queue is full, UNAVAILABLE after shutdown began, INVALID_ARGUMENT when a prompt cannot ever
  // fit.
  virtual Status submit(std::vector<SequenceRequest> sequences) = 0;
  // Any thread: makes the engine look at cancelled streams although no step is due.
  virtual void wake() = 0;
  virtual EngineStats stats() const = 0;
  // Refuses new work, fails what is left with `reason`, joins the thread. Idempotent.
  virtual void stop(const Error& reason) = 0;

  virtual const Transformer& model() const = 0;
  virtual int max_model_len() const = 0;
};

}  // namespace dejavu
