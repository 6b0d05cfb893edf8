#include "engine/backend/cuda/join.h"

#include <algorithm>
#include <vector>

namespace dejavu::cuda {
namespace {

// What a stream's next node will wait for.
struct Waits {
  std::vector<cudaGraphNode_t> nodes;
  std::vector<cudaGraphEdgeData> edges;
};

// None when nothing is being recorded.
Waits waits_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  const cudaError_t found =
      cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &nodes, &edges, &count);
  if (found != cudaSuccess || status != cudaStreamCaptureStatusActive) return {};
  Waits waits{{nodes, nodes + count}, std::vector<cudaGraphEdgeData>(count)};
  if (edges != nullptr) std::copy_n(edges, count, waits.edges.begin());
  return waits;
}

}  // namespace

cudaGraphNode_t last_recorded(cudaStream_t stream) {
  const Waits waits = waits_of(stream);
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  if (waits.nodes.size() != 1 || cudaGraphNodeGetType(waits.nodes.front(), &type) != cudaSuccess ||
      type != cudaGraphNodeTypeKernel)
    return nullptr;
  return waits.nodes.front();
}

void start_early_behind_join(const Queue& queue) {
  Waits waits = waits_of(queue.stream);
  const auto own = std::find(waits.nodes.begin(), waits.nodes.end(), queue.before_join);
  if (own == waits.nodes.end()) return;  // not the first kernel of the op
  cudaGraphEdgeData& edge = waits.edges[static_cast<std::size_t>(own - waits.nodes.begin())];
  edge.from_port = cudaGraphKernelNodePortProgrammatic;
  edge.type = cudaGraphDependencyTypeProgrammatic;
  queue.errors->check(cudaStreamUpdateCaptureDependencies(queue.stream, waits.nodes.data(),
                                                          waits.edges.data(), waits.nodes.size(),
                                                          cudaStreamSetCaptureDependencies));
}

}  // namespace dejavu::cuda
