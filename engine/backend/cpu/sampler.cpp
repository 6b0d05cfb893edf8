#include "engine/backend/cpu/sampler.h"

#include <cassert>

namespace dejavu {

void CpuSampler::set_slot(const SamplerSlotArgs& args) {
  const auto slot = static_cast<std::size_t>(args.slot);
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  slots_[slot].reset(*args.params, args.seed,
                     {args.prompt, static_cast<std::size_t>(args.prompt_length)},
                     {args.output, static_cast<std::size_t>(args.output_length)});
}

void CpuSampler::sample(const SampleArgs& args) {
  for (int row = 0; row < args.count; ++row) sample_row(args, row, scratch_);
  commit(args);
}

void CpuSampler::sample_row(const SampleArgs& args, int row, SampleScratch& scratch) const {
  assert(args.logits.dtype == DType::kF32);
  const SampleRow& what = args.rows[row];
  const SamplerState& state = slots_[static_cast<std::size_t>(what.slot)];
  const std::span<const float> logits(static_cast<const float*>(args.logits.row(row)),
                                      static_cast<std::size_t>(args.logits.cols));
  SampleOutput& out = args.out[row];
  out = {};
  if (what.score >= 0) {
    score_row(logits, what.score, state.params().prompt_logprobs, out);
  } else {
    dejavu::sample_row(logits, state, scratch, out);
  }
}

void CpuSampler::commit(const SampleArgs& args) {
  for (int row = 0; row < args.count; ++row) {
    const SampleRow& what = args.rows[row];
    if (what.score >= 0) continue;
    const std::int32_t token = args.out[row].token;
    slots_[static_cast<std::size_t>(what.slot)].advance(token);
    args.last_tokens[what.slot] = token;
  }
}

}  // namespace dejavu
