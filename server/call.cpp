#include "server/call.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/text/utf8.h"
#include "server/admin/request_log.h"
#include "server/error_status.h"

namespace dejavu {

namespace {

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

const char* finish_name(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

// The deadline of a request, far enough away to be none for absurd values.
std::optional<std::chrono::steady_clock::time_point> deadline_of(
    const std::optional<std::int64_t>& timeout_ms, std::chrono::steady_clock::time_point arrival) {
  constexpr std::int64_t kYear = 366LL * 24 * 3600 * 1000;
  if (!timeout_ms || *timeout_ms > kYear) return std::nullopt;
  return arrival + std::chrono::milliseconds(*timeout_ms);
}

}  // namespace

Call::Call(CallSetup setup) : setup_(std::move(setup)) {}

void Call::signal() {
  if (pending_.fetch_add(1, std::memory_order_acq_rel) != 0) return;  // a run will see it
  setup_.pool->post([self = shared_from_this()] { self->run(); });
}

void Call::cancel() {
  if (ended_.load(std::memory_order_acquire)) return;
  cancelled_.store(true, std::memory_order_release);
  signal();
}

void Call::run() {
  int seen = 0;
  do {
    seen = pending_.load(std::memory_order_acquire);
    try {
      if (!std::exchange(started_, true)) start();
      drain();
    } catch (const std::exception& error) {
      fail({ErrorCode::kInternal, std::string("internal error: ") + error.what(), {}, {}});
    }
  } while (pending_.fetch_sub(seen, std::memory_order_acq_rel) != seen);
}

void Call::start() {
  if (setup_.refusal) return fail(*setup_.refusal);
  if (cancelled_.load(std::memory_order_acquire)) return;  // drain() tells the sink
  auto plans = plan_request(*setup_.model, setup_.request);
  if (!plans) return fail(plans.error());
  plans_ = std::move(*plans);
  submit();
}

void Call::submit() {
  const GenerateRequest& request = setup_.request;
  std::vector<SequenceRequest> sequences;
  for (std::size_t p = 0; p < plans_.size(); ++p) {
    const PlannedPrompt& plan = plans_[p];
    summary_.usage.prompt_tokens += static_cast<int>(plan.prompt.ids.size());
    for (int k = 0; k < request.n; ++k) {
      choices_.push_back(make_choice(static_cast<int>(p), k));
      SequenceRequest sequence;
      sequence.prompt = plan.prompt.ids;
      sequence.sampling = plan.sampling;
      if (plan.sampling.seed) sequence.sampling.seed = choice_seed(*plan.sampling.seed, k);
      sequence.sparsity = setup_.sparsity;
      sequence.sparsity.detailed = request.sparsity.per_layer;
      sequence.cache_salt = request.cache_salt;
      sequence.use_prefix_cache = plan.sampling.prompt_logprobs < 0;
      sequence.priority = request.priority;
      sequence.arrival = arrival_;
      sequence.deadline = deadline_of(request.timeout_ms, arrival_);
      sequence.stream = choices_.back().stream;
      sequences.push_back(std::move(sequence));
    }
  }
  open_choices_ = choices_.size();
  if (auto status = setup_.model->engine->submit(std::move(sequences)); !status) {
    fail(status.error());
  }
}

Call::Choice Call::make_choice(int prompt, int k) {
  const GenerateRequest& request = setup_.request;
  const PlannedPrompt& plan = plans_[static_cast<std::size_t>(prompt)];
  ChoiceTextOptions options;
  options.skip_special_tokens = request.skip_special_tokens;
  options.include_stop = request.sampling.include_stop_str_in_output;
  options.stops = request.sampling.stop;
  options.min_tokens = plan.sampling.min_tokens;
  TextDelta delta;
  delta.choice = prompt * request.n + k;
  if (request.echo) {
    delta.text = plan.prompt.text;
    options.first_offset = count_code_points(plan.prompt.text);
  }
  auto stream = std::make_shared<TokenStream>(static_cast<std::size_t>(plan.sampling.max_tokens),
                                              [self = weak_from_this()] {
                                                if (const auto call = self.lock()) call->signal();
                                              });
  Choice choice{.prompt = prompt,
                .stream = std::move(stream),
                .text = ChoiceText(setup_.model->tokenizer, options),
                .delta = std::move(delta)};
  return choice;
}

void Call::drain() {
  for (Choice& choice : choices_) {
    if (ended_.load(std::memory_order_relaxed)) return;
    if (!choice.done) drain_choice(choice);
  }
  if (ended_.load(std::memory_order_relaxed)) return;
  if (cancelled_.load(std::memory_order_acquire)) {
    fail({ErrorCode::kCancelled, "the request was cancelled", {}, {}});
  }
}

void Call::drain_choice(Choice& choice) {
  TokenEvent event;
  while (!choice.done && !cancelled_.load(std::memory_order_acquire) &&
         choice.stream->try_pop(event)) {
    if (event.finish == FinishReason::kError) return fail(*event.error);
    if (event.finish == FinishReason::kCancelled) {
      return fail({ErrorCode::kCancelled, "the request was cancelled", {}, {}});
    }
    if (!choice.begun) begin(choice);
    if (event.token >= 0) take_token(choice, event);
    if (event.finish != FinishReason::kNone && !choice.done) end_choice(choice, event);
    if (choice.done) {
      --open_choices_;
      deliver(choice);
    } else if (setup_.request.stream) {
      deliver(choice);
    }
    if (open_choices_ == 0) return finish();
  }
}

void Call::begin(Choice& choice) {
  choice.begun = true;
  const PlannedPrompt& plan = plans_[static_cast<std::size_t>(choice.prompt)];
  if (choice.delta.choice % setup_.request.n == 0) {
    const SequenceStats& stats = choice.stream->stats;
    summary_.usage.cached_tokens += stats.cached_tokens;
    summary_.timings.prompt_ms = std::max(summary_.timings.prompt_ms, stats.prefill_seconds * 1e3);
    setup_.metrics->record_tokens(static_cast<int>(plan.prompt.ids.size()), 0);
  }
  if (plan.sampling.prompt_logprobs >= 0) {
    choice.delta.prompt_logprobs =
        make_prompt_logprobs(setup_.model->tokenizer, plan.prompt, choice.stream->prompt_logprobs);
  }
}

void Call::take_token(Choice& choice, const TokenEvent& event) {
  note_token_time(choice);
  ++summary_.usage.completion_tokens;
  setup_.metrics->record_tokens(0, 1);
  const bool ends = event.finish == FinishReason::kStop && event.stop_token >= 0;
  auto piece = choice.text.append(event.token, ends);
  choice.delta.text += piece.text;
  choice.delta.token_ids.push_back(event.token);
  choice.density.add(event.density);
  density_.add(event.density);
  if (setup_.request.sampling.logprobs) {
    TokenLogprob logprob = *event.logprob;
    logprob.token = event.token;
    choice.delta.logprobs.push_back(
        make_token_text(*setup_.model->tokenizer, logprob, piece.offset));
  }
  if (piece.stop) stop_early(choice, *piece.stop);
}

void Call::end_choice(Choice& choice, const TokenEvent& event) {
  auto tail = choice.text.finish();
  choice.delta.text += tail.text;
  if (tail.stop) return stop_early(choice, *tail.stop);
  choice.done = true;
  choice.finish = choice.delta.finish = event.finish;
  if (event.finish == FinishReason::kStop && event.stop_token >= 0 && !is_eos(event.stop_token)) {
    choice.delta.stop_reason = event.stop_token;
  }
}

void Call::stop_early(Choice& choice, const std::string& stop) {
  choice.done = true;
  choice.finish = choice.delta.finish = FinishReason::kStop;
  choice.delta.stop_reason = stop;
  choice.stream->cancel();
  setup_.model->engine->wake();
}

void Call::note_token_time(Choice& choice) {
  const auto now = Clock::now();
  if (!first_token_) {
    first_token_ = now;
    setup_.metrics->record_first_token(seconds_between(arrival_, now));
  }
  if (choice.last_token) {
    const double gap = seconds_between(*choice.last_token, now);
    setup_.metrics->record_inter_token(gap);
    gap_seconds_ += gap;
    ++gaps_;
  }
  choice.last_token = last_token_ = now;
}

void Call::deliver(Choice& choice) {
  TextDelta next;
  next.choice = choice.delta.choice;
  choice.delta.usage = summary_.usage;
  const DensityMean density = std::exchange(choice.density, {});
  if (setup_.request.sparsity.per_chunk && !density.empty()) {
    choice.delta.sparsity = density.use(setup_.sparsity.mode);
  }
  setup_.sink->on_text(std::exchange(choice.delta, std::move(next)));
}

void Call::finish() {
  Timings& timings = summary_.timings;
  timings.prompt_n = summary_.usage.prompt_tokens - summary_.usage.cached_tokens;
  timings.predicted_n = summary_.usage.completion_tokens;
  summary_.sparsity = density_.use(setup_.sparsity.mode);
  timings.timed_n = gaps_;
  if (gaps_ > 0) timings.predicted_ms = seconds_between(*first_token_, *last_token_) * 1e3;
  close("", 200);
  std::exchange(setup_.sink, nullptr)->on_done(summary_);
}

void Call::fail(const Error& error) {
  if (ended_.load(std::memory_order_relaxed)) return;
  cancel_streams();
  close(std::string(error_code_name(error.code)), http_status(error.code));
  std::exchange(setup_.sink, nullptr)->on_error(error);
}

void Call::close(const std::string& outcome, int status) {
  ended_.store(true, std::memory_order_release);
  const auto now = Clock::now();
  RequestRecord record;
  record.request_id = setup_.request.request_id;
  record.trace_id = setup_.request.trace_id;
  record.api = setup_.request.api;
  record.model = setup_.request.model;
  record.status = status;
  record.outcome = outcome;
  if (!choices_.empty()) {
    const Choice& first = choices_.front();
    if (first.done) record.finish_reason = finish_name(first.finish);
    if (first.begun) record.queue_seconds = first.stream->stats.queue_seconds;
    if (outcome.empty()) record.outcome = record.finish_reason;
  }
  record.prompt_tokens = summary_.usage.prompt_tokens;
  record.cached_tokens = summary_.usage.cached_tokens;
  record.completion_tokens = summary_.usage.completion_tokens;
  if (first_token_) record.ttft_seconds = seconds_between(arrival_, *first_token_);
  if (gaps_ > 0) record.itl_seconds = gap_seconds_ / gaps_;
  record.e2e_seconds = seconds_between(arrival_, now);
  setup_.metrics->record_request(record);
  log_request(record, prompt_text());
  setup_.on_end();
}

std::optional<std::string> Call::prompt_text() const {
  if (!setup_.log_prompt) return std::nullopt;
  std::string text;
  for (const PlannedPrompt& plan : plans_) {
    if (!text.empty()) text += '\n';
    text += plan.prompt.text.empty() ? setup_.model->tokenizer->decode(plan.prompt.ids, false)
                                     : plan.prompt.text;
  }
  return text;
}

void Call::cancel_streams() {
  for (const Choice& choice : choices_) choice.stream->cancel();
  if (!choices_.empty()) setup_.model->engine->wake();
}

bool Call::is_eos(std::int32_t token) const {
  const auto& eos = setup_.model->defaults.eos_token_ids;
  return std::find(eos.begin(), eos.end(), token) != eos.end();
}

}  // namespace dejavu
