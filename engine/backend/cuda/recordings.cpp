#include "engine/backend/cuda/recordings.h"

#include <algorithm>

namespace dejavu::cuda {
namespace {

// A graph of a step takes a few megabytes.
constexpr std::size_t kMostRecordings = 96;

}  // namespace

void Recordings::replay(const ReplayKey& key, cudaStream_t stream,
                        const std::function<void()>& work) {
  auto found = recordings_.find(key);
  if (found == recordings_.end()) {
    if (recordings_.size() >= kMostRecordings) forget_oldest();
    recordings_[key].used = ++clock_;
    work();
    return;
  }
  Recording& recording = found->second;
  recording.used = ++clock_;
  if (recording.graph == nullptr && !record(recording, stream, work)) return;
  errors_.check(cudaGraphLaunch(recording.graph.get(), stream));
}

bool Recordings::record(Recording& recording, cudaStream_t stream,
                        const std::function<void()>& work) {
  if (!errors_.check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal)))
    return false;
  work();
  cudaGraph_t graph = nullptr;
  if (!errors_.check(cudaStreamEndCapture(stream, &graph))) return false;
  cudaGraphExec_t executable = nullptr;
  const bool made = errors_.check(cudaGraphInstantiate(&executable, graph, 0));
  errors_.check(cudaGraphDestroy(graph));
  recording.graph.reset(executable);
  return made;
}

void Recordings::forget_oldest() {
  const auto oldest =
      std::min_element(recordings_.begin(), recordings_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  recordings_.erase(oldest);
}

}  // namespace dejavu::cuda
