#include "engine/step_loop.h"

#include <random>

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// SplitMix64's finaliser: neighbouring inputs give unrelated outputs.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

}  // namespace

StepLoop::StepLoop(Parts parts)
    : parts_(std::move(parts)),
      gate_(Scheduler::max_running(parts_.limits), parts_.options.max_queued),
      scheduler_(parts_.limits, parts_.pages, gate_),
      sizer_(parts_.options.target_step_seconds, parts_.limits.max_num_batched_tokens),
      base_seed_(parts_.options.seed != 0 ? parts_.options.seed : random_seed()) {}

StepLoop::~StepLoop() {
  stop({ErrorCode::kUnavailable, "the engine is shutting down", {}, "shutting_down"});
}

void StepLoop::set_observers(StepObserver on_step, FatalHandler on_fatal) {
  on_step_ = std::move(on_step);
  on_fatal_ = std::move(on_fatal);
}

void StepLoop::start() {
  thread_ = std::thread([this] { run(); });
}

Status StepLoop::check(const SequenceRequest& request) const {
  if (request.prompt.empty()) return invalid("the prompt must hold at least one token", "prompt");
  const int vocab = parts_.model->config().vocab_size;
  for (const std::int32_t token : request.prompt) {
    if (token < 0 || token >= vocab) {
      return invalid("prompt token id " + std::to_string(token) + " is not in [0, " +
                         std::to_string(vocab) + ")",
                     "prompt");
    }
  }
  const auto prompt = request.prompt.size();
  const std::size_t next = request.sampling.max_tokens > 0 ? 1 : 0;
  if (prompt + next > static_cast<std::size_t>(max_model_len())) {
    return invalid("the model's context is " + std::to_string(max_model_len()) +
                       " tokens; the prompt alone has " + std::to_string(prompt) +
                       (next == 0 ? "" : " and leaves no room for an answer") +
                       "; shorten the prompt",
                   "prompt", "context_length_exceeded");
  }
  return validate(request.sampling, vocab);
}

Status StepLoop::submit(std::vector<SequenceRequest> sequences) {
  for (const SequenceRequest& request : sequences) {
    if (auto status = check(request); !status) return status;
  }
  const int count = static_cast<int>(sequences.size());
  if (!gate_.try_enter(count)) {
    return fail(ErrorCode::kResourceExhausted,
                "the queue is full (" + std::to_string(gate_.live()) +
                    " sequences run or wait, at most " + std::to_string(gate_.max_queued()) +
                    " may wait); retry later",
                {}, "queue_full");
  }
  if (!inbox_.push(std::move(sequences))) {
    gate_.leave(count);
    return fail(ErrorCode::kUnavailable, "the engine takes no more requests: it is shutting down",
                {}, "shutting_down");
  }
  return {};
}

void StepLoop::run() {
  while (!inbox_.closed()) {
    // Sequences wait for others that run, never for time: without any, nothing is due.
    const bool idle =
        scheduler_.running() + scheduler_.waiting() == 0 && parts_.runner->in_flight() == 0;
    update_stats(!idle);
    take_in(idle ? inbox_.wait_drain() : inbox_.drain());
    if (!step()) return;
  }
  while (parts_.runner->in_flight() > 0) {
    if (!collect()) return;
  }
  Error reason;
  {
    const std::lock_guard lock(stop_mutex_);
    reason = stop_reason_;
  }
  fail_everything(reason);
}

void StepLoop::take_in(std::vector<std::vector<SequenceRequest>> batches) {
  for (auto& batch : batches) {
    for (SequenceRequest& request : batch) {
      const std::uint64_t id = next_id_++;
      const std::uint64_t seed = seed_of(request, id);
      scheduler_.add(std::make_shared<Sequence>(std::move(request), id, seed));
    }
  }
}

std::uint64_t StepLoop::seed_of(const SequenceRequest& request, std::uint64_t id) const {
  return request.sampling.seed ? *request.sampling.seed : mix(base_seed_ + mix(id));
}

bool StepLoop::step() {
  const bool sized = !parts_.backend.info().asynchronous;
  StepPlan plan = scheduler_.plan(
      Clock::now(), sized ? sizer_.step_tokens() : parts_.limits.max_num_batched_tokens);
  const bool launches = !plan.rows.empty();
  update_stats(launches || parts_.runner->in_flight() > 0);
  if (launches) parts_.runner->launch(std::move(plan));
  const int may_stay = launches ? parts_.launch_ahead : 0;
  return parts_.runner->in_flight() <= may_stay || collect();
}

bool StepLoop::collect() {
  auto collected = parts_.runner->collect();
  if (!collected) {
    Error error = collected.error();
    error.message = "the device failed: " + error.message;
    inbox_.close();
    fail_everything(error);
    if (on_fatal_) on_fatal_(error);
    return false;
  }
  const StepPlan& plan = collected->plan;
  // Counted before its tokens go out: who has an answer finds its steps in the metrics.
  sizer_.measured(plan.prompt_tokens, plan.tokens(), collected->seconds);
  shared_.steps += 1;
  if (on_step_) {
    on_step_({collected->seconds, plan.prompt_tokens, plan.decode_tokens,
              static_cast<int>(plan.rows.size()), plan.preemptions});
  }
  scheduler_.complete(plan, collected->outputs, Clock::now(), collected->densities);
  return true;
}

void StepLoop::fail_everything(const Error& error) {
  take_in(inbox_.drain());
  scheduler_.fail_all(error, Clock::now());
  update_stats(false);
}

void StepLoop::stop(const Error& reason) {
  {
    const std::lock_guard lock(stop_mutex_);
    if (!inbox_.closed()) stop_reason_ = reason;
    inbox_.close();
  }
  if (thread_.get_id() == std::this_thread::get_id()) return;  // from an observer: run() returns
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
  fail_everything(reason);  // what was submitted before a start() that never came
}

void StepLoop::update_stats(bool busy) {
  const PageStore& store = scheduler_.store();
  const SchedulerCounters& counters = scheduler_.counters();
  shared_.running = scheduler_.running();
  shared_.waiting = scheduler_.waiting();
  shared_.pages_used = store.pool.pages() - store.pool.free_pages();
  shared_.query_tokens = counters.prefix_query_tokens;
  shared_.hit_tokens = counters.prefix_hit_tokens;
  shared_.preemptions = counters.preemptions;
  shared_.last_step = busy ? Clock::now().time_since_epoch().count() : 0;
}

EngineStats StepLoop::stats() const {
  EngineStats stats;
  stats.running = shared_.running;
  // Sequences that have been accepted but not looked at wait as well.
  stats.waiting = std::max(shared_.waiting.load(), gate_.live() - stats.running);
  stats.kv_pages_total = parts_.pages;
  stats.kv_pages_used = shared_.pages_used;
  stats.prefix_query_tokens = shared_.query_tokens;
  stats.prefix_hit_tokens = shared_.hit_tokens;
  stats.preemptions = shared_.preemptions;
  stats.steps = shared_.steps;
  if (const TimePoint::rep last = shared_.last_step; last != 0) {
    const Clock::duration since(Clock::now().time_since_epoch().count() - last);
    stats.seconds_since_step = std::chrono::duration<double>(since).count();
  }
  return stats;
}

}  // namespace dejavu
