// Early starts behind a join. The kernel that follows one waits for two: its stream's last, after
// which it may start early as any other, and the other stream's last, which has to have ended.
// cudaLaunchKernelEx() can only say both or neither; while a step is recorded, the graph's edges
// can be told apart.
#pragma once

#include "engine/backend/cuda/queue.h"

namespace dejavu::cuda {

// The kernel that was recorded last on a stream; null: none, or nothing is being recorded.
cudaGraphNode_t last_recorded(cudaStream_t stream);

// The next kernel recorded on the queue's stream may start early after queue.before_join.
void start_early_behind_join(const Queue& queue);

}  // namespace dejavu::cuda
