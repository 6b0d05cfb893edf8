// Work recorded as CUDA graphs, by key. Replaying one costs the host one launch instead of
// hundreds, and the device no gaps between kernels.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/errors.h"

namespace dejavu::cuda {

class Recordings {
 public:
  explicit Recordings(Errors& errors) : errors_(errors) {}

  // The first time a key is seen its work runs as it is (and loads what it needs); the second time
  // it is recorded. `work` ends with all of its effects joined on `stream`.
  void replay(const ReplayKey& key, cudaStream_t stream, const std::function<void()>& work);

 private:
  struct GraphDestroyer {
    void operator()(cudaGraphExec_t graph) const { static_cast<void>(cudaGraphExecDestroy(graph)); }
  };
  struct Recording {
    std::unique_ptr<CUgraphExec_st, GraphDestroyer> graph;
    std::uint64_t used = 0;
  };

  bool record(Recording& recording, cudaStream_t stream, const std::function<void()>& work);
  void forget_oldest();

  Errors& errors_;
  std::map<ReplayKey, Recording> recordings_;
  std::uint64_t clock_ = 0;
};

}  // namespace dejavu::cuda
