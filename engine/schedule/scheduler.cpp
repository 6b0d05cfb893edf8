#include "engine/schedule/scheduler.h"

#include <algorithm>
#include <cassert>

namespace dejavu {
namespace {

// A synchronous backend's measured speed may ask for less; a prompt must still get on.
constexpr int kMinPromptTokens = kKvPageTokens;

bool decodes(const Sequence& sequence) {
  return sequence.known() - sequence.computed == 1 && sequence.computed >= sequence.prompt_length;
}

}  // namespace

int Scheduler::max_running(const SchedulerLimits& limits) {
  return std::min({limits.max_num_seqs, limits.max_num_batched_tokens, limits.max_logit_rows});
}

Scheduler::Scheduler(const SchedulerLimits& limits, int pages, QueueGate& gate)
    : limits_(limits), gate_(gate), store_(pages) {
  assert(pages >= pages_for(limits.max_model_len));
  for (int slot = max_running(limits) - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

StepPlan Scheduler::plan(TimePoint now, int step_tokens) {
  end_cancelled_and_expired(now);
  StepPlan plan;
  const auto decode_rows = static_cast<int>(std::count_if(
      running_.begin(), running_.end(), [](const SequencePtr& s) { return decodes(*s); }));
  Budget budget;
  budget.prompt_tokens = std::min(std::max(step_tokens - decode_rows, kMinPromptTokens),
                                  limits_.max_num_batched_tokens - decode_rows);
  // Every sequence that could run may sample one token; the other rows may score prompts.
  budget.score_rows = limits_.max_logit_rows - max_running(limits_);
  plan_running(plan, budget);
  if (plan.preemptions == 0) plan_waiting(plan, budget, now);
  return plan;
}

void Scheduler::end_cancelled_and_expired(TimePoint now) {
  std::vector<std::pair<SequencePtr, TokenEvent>> ended;
  for (const auto* line : {&running_, &waiting_}) {
    for (const SequencePtr& sequence : *line) {
      TokenEvent event;
      if (sequence->request.stream->cancelled()) {
        event.finish = FinishReason::kCancelled;
      } else if (sequence->request.deadline && *sequence->request.deadline <= now) {
        event.finish = FinishReason::kError;
        event.error = std::make_shared<const Error>(
            Error{ErrorCode::kDeadlineExceeded,
                  "the deadline passed before the request was finished; allow more time "
                  "(timeout_ms) or ask for fewer tokens",
                  "timeout_ms", "deadline_exceeded"});
      } else {
        continue;
      }
      ended.emplace_back(sequence, std::move(event));
    }
  }
  for (auto& [sequence, event] : ended) end(sequence, std::move(event), now);
}

void Scheduler::plan_running(StepPlan& plan, Budget& budget) {
  // Best first, so that only sequences without a row in this plan are preempted.
  for (auto place = running_.begin(); place != running_.end();) {
    const SequencePtr sequence = *place;
    const bool decode = decodes(*sequence);
    const int count = decode ? 1 : chunk(*sequence, budget);
    if (count > 0 && !sequence->is_full(limits_.max_model_len) &&
        make_room(sequence, count, plan)) {
      add_row(sequence, count, plan, budget);
      if (!decode) budget.prompt_tokens -= count;  // decode rows were set aside
    }
    place = running_.upper_bound(sequence);
  }
}

bool Scheduler::make_room(const SequencePtr& sequence, int count, StepPlan& plan) {
  while (!sequence->pages.grow(store_, sequence->computed + count)) {
    const SequencePtr victim = *running_.rbegin();
    preempt(victim);
    ++plan.preemptions;
    if (victim == sequence) return false;
  }
  return true;
}

void Scheduler::plan_waiting(StepPlan& plan, Budget& budget, TimePoint now) {
  bool saturated = false;
  for (auto place = waiting_.begin(); place != waiting_.end() && !saturated;) {
    const SequencePtr sequence = *place++;
    if (sequence->pending > 0) continue;  // preempted a moment ago: its last token is on its way
    saturated = free_slots_.empty() || budget.prompt_tokens <= 0;
    if (saturated) break;
    const Admission admission = consider(*sequence);
    if (admission.held_back) continue;
    saturated = !admission.fits;
    if (saturated) break;
    admit(sequence, admission, now);
    const int count = chunk(*sequence, budget);
    add_row(sequence, count, plan, budget);
    budget.prompt_tokens -= count;
    plan.rows.back().enters = true;
  }
  gate_.set_running(saturated ? running() : max_running(limits_));
}

Scheduler::Admission Scheduler::consider(Sequence& sequence) {
  Admission admission;
  int cached_free = 0;  // hits that are on the free list now
  if (uses_index(sequence)) {
    // At least one token is computed anew: its logits are needed.
    const int most = std::min(sequence.known() - 1, sequence.exact_end) / kKvPageTokens;
    while (static_cast<int>(admission.hits.size()) < most) {
      const int next = static_cast<int>(admission.hits.size());
      const auto page = store_.index.find(sequence.digest(next));
      if (!page) {
        admission.held_back = computed_by_another(sequence, next);
        break;
      }
      cached_free += static_cast<int>(store_.pool.references(*page) == 0);
      admission.hits.push_back(*page);
    }
  }
  const int missing = pages_for(sequence.known()) - static_cast<int>(admission.hits.size());
  admission.fits = missing <= store_.pool.free_pages() - cached_free;
  return admission;
}

bool Scheduler::computed_by_another(Sequence& sequence, int page) {
  const int end = (page + 1) * kKvPageTokens;
  return std::any_of(running_.begin(), running_.end(), [&](const SequencePtr& other) {
    // Only pages of the tokens it entered with: what it generates later is worth no waiting.
    return uses_index(*other) && other->landed < end && other->entered_with >= end &&
           other->exact_end >= end && other->digest(page) == sequence.digest(page);
  });
}

void Scheduler::admit(const SequencePtr& sequence, const Admission& admission, TimePoint now) {
  for (const int page : admission.hits) sequence->pages.share(store_, page);
  // Room for everything known: a prompt that has begun is not cut off by the next one.
  const bool grown = sequence->pages.grow(store_, sequence->known());
  assert(grown);
  static_cast<void>(grown);
  const int cached = static_cast<int>(admission.hits.size()) * kKvPageTokens;
  if (uses_index(*sequence) && sequence->round == 0) {
    counters_.prefix_query_tokens += static_cast<std::uint64_t>(sequence->prompt_length);
    counters_.prefix_hit_tokens += static_cast<std::uint64_t>(cached);
  }
  sequence->computed = sequence->landed = cached;
  sequence->entered_with = sequence->known();
  sequence->state = SequenceState::kRunning;
  sequence->slot = free_slots_.back();
  free_slots_.pop_back();
  sequence->first_scheduled(now, cached);
  waiting_.erase(sequence);
  running_.insert(sequence);
}

int Scheduler::chunk(const Sequence& sequence, const Budget& budget) {
  const int need = sequence.known() - sequence.computed;
  int count = std::min(need, budget.prompt_tokens);
  if (sequence.wants_prompt_logprobs()) count = std::min(count, budget.score_rows + 1);
  if (count == need) return count;
  // End on a page boundary where that leaves anything.
  const int end = sequence.computed + count;
  const int aligned = end - end % kKvPageTokens - sequence.computed;
  return aligned > 0 ? aligned : count;
}

void Scheduler::add_row(const SequencePtr& sequence, int count, StepPlan& plan, Budget& budget) {
  PlanRow row;
  row.sequence = sequence;
  row.start = sequence->computed;
  row.count = count;
  row.round = sequence->round;
  const int end = row.start + count;
  if (sequence->wants_prompt_logprobs()) {
    row.score_begin = std::max(sequence->scored, row.start + 1);
    row.score_end = std::max(row.score_begin, std::min(end + 1, sequence->prompt_length));
    sequence->scored = row.score_end;
  }
  row.samples = end == sequence->known() && sequence->request.sampling.max_tokens > 0;
  budget.score_rows -= std::max(0, row.logit_rows() - 1);
  (decodes(*sequence) ? plan.decode_tokens : plan.prompt_tokens) += count;
  sequence->computed = end;
  sequence->pending += static_cast<int>(row.samples);
  ++sequence->in_flight;
  plan.rows.push_back(std::move(row));
}

}  // namespace dejavu
