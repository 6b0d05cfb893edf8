#include "engine/step_runner.h"

#include <algorithm>

namespace dejavu {

Result<std::unique_ptr<StepRunner>> StepRunner::create(Parts parts) {
  auto metadata =
      parts.backend.allocate(BatchBuilder::max_words(parts.limits) * sizeof(std::int32_t));
  if (!metadata) return tl::unexpected(metadata.error());
  auto last_tokens = parts.backend.allocate(static_cast<std::size_t>(parts.limits.sequences) *
                                            sizeof(std::int32_t));
  if (!last_tokens) return tl::unexpected(last_tokens.error());
  return std::unique_ptr<StepRunner>(
      new StepRunner(std::move(parts), std::move(*metadata), std::move(*last_tokens)));
}

void StepRunner::launch(StepPlan plan) {
  Flight& flight = flights_.emplace_back();
  flight.launched = Clock::now();
  flight.plan = std::move(plan);
  flight.batch.build(flight.plan);
  Backend& backend = parts_.backend;
  const auto& words = flight.batch.words();
  backend.upload(metadata_.data(), words.data(), words.size() * sizeof(std::int32_t),
                 StreamId::kMain);
  set_slots(flight.plan);
  auto* last_tokens = last_tokens_.as<std::int32_t>();
  const StepBatch batch = flight.batch.at(metadata_.as<std::int32_t>(), last_tokens);
  if (parts_.sparsity != nullptr) parts_.sparsity->begin_step(batch);
  const ConstMatrix logits = forward(batch);
  if (parts_.sparsity != nullptr) {
    flight.densities.resize(static_cast<std::size_t>(batch.tokens));
    parts_.sparsity->end_step(flight.densities);
  }
  const auto& rows = flight.batch.sample_rows();
  if (!rows.empty()) {
    flight.outputs.resize(rows.size());
    SampleArgs args;
    args.logits = logits;
    args.rows = rows.data();
    args.count = static_cast<int>(rows.size());
    args.last_tokens = last_tokens;
    args.out = flight.outputs.data();
    backend.sample(args, StreamId::kMain);
  }
  flight.mark = backend.mark(StreamId::kMain);
}

std::optional<ReplayKey> StepRunner::replay_key(const StepBatch& batch) const {
  if (batch.tokens != batch.sequences) return std::nullopt;
  ReplayKey key{batch.tokens, batch.page_table_stride, batch.logit_rows};
  if (parts_.sparsity == nullptr) return key;
  const auto methods = parts_.sparsity->replay_key();
  if (!methods) return std::nullopt;
  key.insert(key.end(), methods->begin(), methods->end());
  return key;
}

ConstMatrix StepRunner::forward(const StepBatch& batch) {
  const auto key = replay_key(batch);
  if (!key) return parts_.model.forward(batch, parts_.cache);
  ConstMatrix& logits = logits_[*key];
  parts_.backend.replay(*key, [&] { logits = parts_.model.forward(batch, parts_.cache); });
  return logits;
}

void StepRunner::set_slots(const StepPlan& plan) {
  for (const PlanRow& row : plan.rows) {
    if (!row.enters) continue;
    const Sequence& sequence = *row.sequence;
    SamplerSlotArgs args;
    args.slot = sequence.slot;
    args.params = &sequence.request.sampling;
    args.seed = sequence.seed;
    args.prompt = sequence.prompt().data();
    args.prompt_length = sequence.prompt_length;
    args.output = sequence.output().data();
    args.output_length = sequence.generated();
    parts_.backend.set_sampler_slot(args, StreamId::kMain);
  }
}

Result<StepRunner::Collected> StepRunner::collect() {
  if (auto status = parts_.backend.wait(flights_.front().mark); !status) {
    return tl::unexpected(status.error());
  }
  const auto now = Clock::now();
  if (parts_.sparsity != nullptr) parts_.sparsity->step_ended();
  Flight& flight = flights_.front();
  Collected collected{
      std::move(flight.plan), std::move(flight.outputs), std::move(flight.densities),
      std::chrono::duration<double>(now - std::max(flight.launched, last_end_)).count()};
  last_end_ = now;
  flights_.pop_front();
  return collected;
}

}  // namespace dejavu
