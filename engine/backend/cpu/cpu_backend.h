// The CPU backend: ops cut into items for the workers, run by the kernels of the chosen instruction
// set. Everything has run when a call returns, but for sets predicted on the side stream: see
// predict_ops.cpp.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/host_memory.h"
#include "engine/backend/cpu/host_resources.h"
#include "engine/backend/cpu/kernels.h"
#include "engine/backend/cpu/sampler.h"
#include "engine/backend/cpu/worker_pool.h"

namespace dejavu {

class CpuBackend final : public Backend {
 public:
  CpuBackend(const BackendOptions& options, CpuIsa isa, const HostResources& host);

  const BackendInfo& info() const override { return info_; }

  Result<Buffer> allocate(std::size_t bytes) override;
  void upload(void* device, const void* host, std::size_t bytes, StreamId stream) override;
  void download(void* host, const void* device, std::size_t bytes, StreamId stream) override;
  void order(StreamId /*before*/, StreamId /*after*/) override {}
  Status synchronize(StreamId /*stream*/) override {
    finish_predict();
    return {};
  }

  void embed(const EmbedArgs& args, StreamId stream) override;
  void norm(const NormArgs& args, StreamId stream) override;
  void linear(const LinearArgs& args, StreamId stream) override;
  void project(const ProjectArgs& args, StreamId stream) override;
  void mlp_up(const MlpUpArgs& args, StreamId stream) override;
  void store_kv(const StoreKvArgs& args, StreamId stream) override;
  void attention(const AttentionArgs& args, StreamId stream) override;
  void predict(const PredictArgs& args, StreamId stream) override;
  DeferredPredictTime deferred_predict_time() const override;
  std::size_t sparse_mlp_scratch(int tokens, int width, int ffn) const override;
  void sparse_mlp(const SparseMlpArgs& args, StreamId stream) override;
  void sparse_mlp_add(const SparseMlpAddArgs& args, StreamId stream) override;
  void count_nonzero(const CountNonzeroArgs& args, StreamId stream) override;
  void stamp(std::int64_t* out, StreamId stream) override;

  void set_sampler_slot(const SamplerSlotArgs& args, StreamId stream) override;
  void sample(const SampleArgs& args, StreamId stream) override;

  double measure_read_bandwidth(std::size_t bytes) override;

 private:
  // Memory an op needs while it runs; grows, keeps no contents.
  class Workspace {
   public:
    void* get(std::size_t bytes);

   private:
    std::vector<std::byte> storage_;
  };

  // A call of predict() whose sets are still to be computed and counted.
  struct PendingSets {
    bool waits = false;
    bool whole = false;      // one item does everything
    std::int64_t items = 0;  // 0: they are done
    std::int64_t rows_an_item = 0;
    PredictArgs args;
    PredictLowJob low;
    PredictSetJob job;
    std::vector<std::int64_t> order;   // of items beside another op's
    std::vector<std::uint32_t*> sets;  // of the tokens that have a level
    std::vector<std::int32_t> levels;
  };

  struct RowSpan {
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  // Computes those rows of job.w only.
  void run_rows(const RowsJob& job, std::span<const RowSpan> rows);
  void run_rows_block(RowsJob job, std::span<const RowSpan> rows);
  template <class Kernel>
  void pack_rows(const Kernel& kernel, RowsJob& job);
  static void cut_ranges(ProjectJob& job);
  float* partials(const ProjectJob& job);
  void fold(const ProjectJob& job);
  void begin_predict(const std::vector<const float*>& x, StreamId stream);
  void pack_low();
  void predict_item(std::int64_t item);
  void predict_beside(std::int64_t item);
  void finish_predict();
  // Runs body(item) for each item and, when they run out, what is left of a predictor.
  template <class Body>
  void for_items_and_sets(std::int64_t items, const Body& body) {
    const std::int64_t sets = std::exchange(pending_.items, 0);
    if (sets == 0) return pool_.parallel_for(items, [&](std::int64_t i, int) { body(i); });
    // Each worker's share begins with items, which take longer.
    std::vector<std::int64_t>& order = pending_.order;
    order.clear();
    const std::int64_t workers = pool_.threads();
    const auto add_share = [&](std::int64_t first, std::int64_t count, std::int64_t w) {
      const std::int64_t end = first + count * (w + 1) / workers;
      for (std::int64_t i = first + count * w / workers; i < end; ++i) order.push_back(i);
    };
    for (std::int64_t w = 0; w < workers; ++w) {
      add_share(0, items, w);
      add_share(items, sets, w);
    }
    pool_.parallel_for(items + sets, [&](std::int64_t place, int) {
      const std::int64_t item = order[static_cast<std::size_t>(place)];
      if (item < items) return body(item);
      predict_beside(item - items);
    });
  }
  void for_tokens(std::int64_t tokens, std::int64_t width,
                  const std::function<void(std::int64_t)>& body);

  BackendInfo info_;
  CpuKernels kernels_;
  WorkerPool pool_;
  std::shared_ptr<std::atomic<std::size_t>> in_use_;  // outlives us in the Buffers we gave
  HostArena arena_;
  PendingSets pending_;
  std::atomic<std::int64_t> beside_ns_ = 0;  // of all workers
  double alone_seconds_ = 0;
  Workspace predict_packed_;
  Workspace predict_low_;
  Workspace packed_;
  Workspace partials_;
  std::vector<RowSpan> items_;
  std::vector<Workspace> scratch_;  // one a worker
  CpuSampler sampler_;
  std::vector<SampleScratch> sample_scratch_;
  Buffer probe_;  // what measure_read_bandwidth reads
};

}  // namespace dejavu
