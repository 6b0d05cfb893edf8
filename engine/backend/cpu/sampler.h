// The CPU backend's sampler: sampling state by slot, and the rows of a step.
#pragma once

#include <vector>

#include "engine/backend/backend.h"
#include "engine/sample/sampler.h"

namespace dejavu {

class CpuSampler {
 public:
  // Backend::set_sampler_slot.
  void set_slot(const SamplerSlotArgs& args);
  // Backend::sample: every row on the calling thread.
  void sample(const SampleArgs& args);

  // The same in two parts, for a caller with workers: sample_row for each row, in any order and on
  // any thread, one scratch a worker; then commit once.
  void sample_row(const SampleArgs& args, int row, SampleScratch& scratch) const;
  void commit(const SampleArgs& args);

 private:
  std::vector<SamplerState> slots_;
  SampleScratch scratch_;
};

}  // namespace dejavu
