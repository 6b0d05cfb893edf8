// Decides what each step computes. There is no prefill or decode phase: a step gives tokens to
// sequences until `computed == known`, within a token budget. Running sequences go first; when
// pages run out the last in line is preempted and recomputed later. Owned by the engine thread;
// knows no model and no clock but the times it is handed.
#pragma once

#include <set>
#include <span>
#include <vector>

#include "engine/kv/page_table.h"
#include "engine/schedule/queue_gate.h"
#include "engine/schedule/sequence.h"
#include "engine/schedule/step_plan.h"

namespace dejavu {

struct SchedulerLimits {
  int max_num_seqs = 128;
  int max_num_batched_tokens = 2048;
  int max_logit_rows = 256;
  int max_model_len = 0;
  bool prefix_caching = true;
};

struct SchedulerCounters {
  std::uint64_t prefix_query_tokens = 0;
  std::uint64_t prefix_hit_tokens = 0;
  std::uint64_t preemptions = 0;
};

class Scheduler {
 public:
  // `pages` must hold one sequence of max_model_len. Sequences that end leave `gate`.
  Scheduler(const SchedulerLimits& limits, int pages, QueueGate& gate);

  void add(SequencePtr sequence) { waiting_.insert(std::move(sequence)); }

  // Ends what is cancelled or past its deadline, then plans. `step_tokens` is how many tokens the
  // step should hold; decode rows come first and are never held back by it. The plan counts as
  // launched. Empty when there is nothing to compute before a launched step ends.
  StepPlan plan(TimePoint now, int step_tokens);

  // A launched step has ended; plans complete in the order of their launch. `outputs` are one a
  // logit row, in plan order, `densities` one a token (empty: all dense). Sends tokens, publishes
  // full pages, ends sequences.
  void complete(const StepPlan& plan, std::span<const SampleOutput> outputs, TimePoint now,
                std::span<const TokenDensity> densities = {});

  // Ends every sequence with `error`; launched steps need not complete.
  void fail_all(const Error& error, TimePoint now);

  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }
  const PageStore& store() const { return store_; }
  const SchedulerCounters& counters() const { return counters_; }
  // Sequences that one step can hold.
  static int max_running(const SchedulerLimits& limits);

 private:
  struct Budget {
    int prompt_tokens = 0;
    int score_rows = 0;
  };
  struct Admission {
    std::vector<int> hits;   // pages found in the prefix index
    bool held_back = false;  // its next page is being computed by a running sequence
    bool fits = true;
  };

  void end_cancelled_and_expired(TimePoint now);
  void plan_running(StepPlan& plan, Budget& budget);
  void plan_waiting(StepPlan& plan, Budget& budget, TimePoint now);
  // Room for the sequence's next `count` tokens, preempting from the end of the line. False when
  // the sequence itself had to go.
  bool make_room(const SequencePtr& sequence, int count, StepPlan& plan);
  Admission consider(Sequence& sequence);
  bool computed_by_another(Sequence& sequence, int page);
  void admit(const SequencePtr& sequence, const Admission& admission, TimePoint now);
  void add_row(const SequencePtr& sequence, int count, StepPlan& plan, Budget& budget);
  static int chunk(const Sequence& sequence, const Budget& budget);

  bool uses_index(const Sequence& sequence) const;
  void publish(Sequence& sequence);
  void preempt(const SequencePtr& sequence);
  void end(const SequencePtr& sequence, TokenEvent event, TimePoint now);
  void release(Sequence& sequence);

  const SchedulerLimits limits_;
  QueueGate& gate_;
  PageStore store_;
  std::vector<int> free_slots_;
  std::set<SequencePtr, RunsBefore> running_;
  std::set<SequencePtr, RunsBefore> waiting_;
  SchedulerCounters counters_;
};

}  // namespace dejavu
