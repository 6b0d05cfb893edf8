// What happens to sequences when steps end and when they leave the line.
#include <algorithm>

#include "engine/schedule/scheduler.h"

namespace dejavu {

void Scheduler::complete(const StepPlan& plan, std::span<const SampleOutput> outputs, TimePoint now,
                         std::span<const TokenDensity> densities) {
  std::size_t end_token = 0;
  for (const PlanRow& row : plan.rows) {
    end_token += static_cast<std::size_t>(row.count);
    const auto own = outputs.first(static_cast<std::size_t>(row.logit_rows()));
    outputs = outputs.subspan(own.size());
    Sequence& sequence = *row.sequence;
    --sequence.in_flight;
    if (sequence.state == SequenceState::kEnded) {
      // Tokens computed past the end: not sent, not indexed.
      if (sequence.in_flight == 0) release(sequence);
      continue;
    }
    for (int position = row.score_begin; position < row.score_end; ++position) {
      sequence.take_score(position, own[static_cast<std::size_t>(position - row.score_begin)]);
    }
    if (row.round == sequence.round) {
      sequence.landed = row.start + row.count;
      publish(sequence);
    }
    if (row.samples) {
      --sequence.pending;
      const TokenDensity density = densities.empty() ? TokenDensity{} : densities[end_token - 1];
      TokenEvent event = sequence.take_token(own.back(), density, limits_.max_model_len);
      if (event.finish == FinishReason::kNone) {
        sequence.send(std::move(event), now);
      } else {
        end(row.sequence, std::move(event), now);
      }
    } else if (sequence.request.sampling.max_tokens == 0 &&
               sequence.landed == sequence.prompt_length) {
      TokenEvent event;
      event.finish = FinishReason::kLength;
      end(row.sequence, std::move(event), now);
    }
  }
}

void Scheduler::fail_all(const Error& error, TimePoint now) {
  std::vector<SequencePtr> all(running_.begin(), running_.end());
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  for (const SequencePtr& sequence : all) {
    TokenEvent event;
    event.finish = FinishReason::kError;
    event.error = std::make_shared<const Error>(error);
    sequence->in_flight = 0;
    end(sequence, std::move(event), now);
  }
}

bool Scheduler::uses_index(const Sequence& sequence) const {
  return limits_.prefix_caching && sequence.request.use_prefix_cache &&
         !sequence.wants_prompt_logprobs();
}

void Scheduler::publish(Sequence& sequence) {
  if (!uses_index(sequence)) return;
  const int full = std::min(sequence.landed, sequence.exact_end) / kKvPageTokens;
  for (; sequence.published < full; ++sequence.published) {
    const int page = sequence.pages.pages()[static_cast<std::size_t>(sequence.published)];
    if (!store_.index.holds(page)) store_.index.publish(sequence.digest(sequence.published), page);
  }
}

void Scheduler::preempt(const SequencePtr& sequence) {
  running_.erase(sequence);
  // The pages may be handed on at once, even with a step in flight: steps run in order, so whoever
  // gets them writes after that step has read.
  release(*sequence);
  sequence->computed = sequence->landed = sequence->published = 0;
  ++sequence->round;
  sequence->state = SequenceState::kWaiting;
  sequence->preempted();
  ++counters_.preemptions;
  waiting_.insert(sequence);
}

void Scheduler::end(const SequencePtr& sequence, TokenEvent event, TimePoint now) {
  running_.erase(sequence);
  waiting_.erase(sequence);
  sequence->state = SequenceState::kEnded;
  if (sequence->in_flight == 0) release(*sequence);
  // Before the event: who reads it may ask again at once.
  gate_.leave(1);
  sequence->send(std::move(event), now);
}

void Scheduler::release(Sequence& sequence) {
  sequence.pages.clear(store_);
  if (sequence.slot >= 0) free_slots_.push_back(sequence.slot);
  sequence.slot = -1;
}

}  // namespace dejavu
