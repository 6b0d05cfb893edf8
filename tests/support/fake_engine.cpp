#include "tests/support/fake_engine.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace dejavu {

namespace {

class FakeTransformer final : public Transformer {
 public:
  explicit FakeTransformer(const FakeEngineOptions& options) : options_(options) {
    config_.vocab_size = options.vocab_size;
    config_.max_position = options.max_model_len;
  }
  const ModelConfig& config() const override { return config_; }
  DType dtype() const override { return DType::kF32; }
  int max_model_len() const override { return options_.max_model_len; }
  std::size_t weight_bytes() const override { return 1; }
  std::size_t decode_bytes() const override { return 1; }
  KvCacheShape kv_shape() const override { return {}; }
  ConstMatrix forward(const StepBatch&, const KvCache&) override { return {}; }
  void embed(const StepBatch&) override {}
  void run_layer(int, const StepBatch&, const KvView&) override {}
  ConstMatrix logits(const StepBatch&) override { return {}; }
  Matrix residual(int) const override { return {}; }

 private:
  FakeEngineOptions options_;
  ModelConfig config_;
};

TokenEvent ending(FinishReason finish, Error error = {}) {
  TokenEvent event;
  event.finish = finish;
  event.error = std::make_shared<const Error>(std::move(error));
  return event;
}

bool contains(const std::vector<std::int32_t>& ids, std::int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

FakeEngine::FakeEngine(const FakeEngineOptions& options, Script script)
    : options_(options),
      script_(std::move(script)),
      model_(std::make_unique<FakeTransformer>(options)),
      thread_([this] { run(); }) {}

FakeEngine::~FakeEngine() { stop({ErrorCode::kUnavailable, "the engine is gone", {}, {}}); }

Status FakeEngine::submit(std::vector<SequenceRequest> sequences) {
  const std::lock_guard lock(mutex_);
  if (refusal_) return tl::unexpected(*refusal_);
  for (SequenceRequest& request : sequences) {
    submitted_.push_back(request);
    auto tokens = script_(request);
    running_.push_back({std::move(request), std::move(tokens)});
  }
  changed_.notify_all();
  return {};
}

EngineStats FakeEngine::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats;
  stats.running = static_cast<int>(running_.size());
  stats.kv_pages_total = 100;
  stats.kv_pages_used = stats.running;
  stats.steps = steps_;
  return stats;
}

void FakeEngine::stop(const Error& reason) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  fail_running(reason);
}

void FakeEngine::refuse_with(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(error);
}

void FakeEngine::pause(bool paused) {
  {
    const std::lock_guard lock(mutex_);
    paused_ = paused;
  }
  changed_.notify_all();
}

void FakeEngine::fail_running(Error error) {
  const std::lock_guard lock(mutex_);
  for (Running& sequence : running_) {
    end(sequence, ending(FinishReason::kError, error));
  }
  running_.clear();
}

std::vector<SequenceRequest> FakeEngine::submitted() const {
  const std::lock_guard lock(mutex_);
  return submitted_;
}

bool FakeEngine::wait_until_idle() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::minutes(1), [this] { return running_.empty(); });
}

void FakeEngine::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || (!paused_ && !running_.empty()); });
    if (stopping_) return;
    if (options_.step.count() > 0) {
      lock.unlock();
      std::this_thread::sleep_for(options_.step);
      lock.lock();
    }
    step();
    if (running_.empty()) changed_.notify_all();
  }
}

void FakeEngine::step() {
  ++steps_;
  for (Running& sequence : running_) advance(sequence);
  std::erase_if(running_, [](const Running& sequence) { return sequence.ended; });
}

void FakeEngine::advance(Running& sequence) const {
  const SequenceRequest& request = sequence.request;
  const SamplingParams& sampling = request.sampling;
  if (request.stream->cancelled()) return end(sequence, ending(FinishReason::kCancelled));
  if (request.deadline && *request.deadline <= std::chrono::steady_clock::now()) {
    return end(sequence, ending(FinishReason::kError,
                                {ErrorCode::kDeadlineExceeded, "the deadline passed", {}, {}}));
  }
  if (options_.hold_after > 0 && sequence.next >= options_.hold_after) return;
  if (sequence.next == 0) {
    request.stream->stats = {0.001, 0.002, 1, 0};
    if (sampling.prompt_logprobs >= 0) {
      for (const std::int32_t id : request.prompt) {
        request.stream->prompt_logprobs.push_back({id, -0.5F, 1, {{id, -0.5F}}});
      }
    }
  }
  const auto limit = static_cast<std::size_t>(sampling.max_tokens);
  if (sequence.next >= std::min(limit, sequence.tokens.size())) {
    return end(sequence, ending(FinishReason::kLength));
  }
  TokenEvent event;
  if (request.sparsity.mode != SparsityMode::kDense && sequence.next > 0)
    event.density = {.25F, .5F};
  const std::int32_t token = sequence.tokens[sequence.next++];
  event.token = token;
  event.logprob =
      std::make_shared<const TokenLogprob>(TokenLogprob{token, -0.25F, 1, {{token, -0.25F}}});
  const bool eos = !sampling.ignore_eos && contains(sampling.eos_token_ids, token);
  if (eos || contains(sampling.stop_token_ids, token)) {
    event.finish = FinishReason::kStop;
    event.stop_token = token;
    return end(sequence, std::move(event));
  }
  if (sequence.next == limit) {
    event.finish = FinishReason::kLength;
    return end(sequence, std::move(event));
  }
  request.stream->push(std::move(event));
  request.stream->notify();
}

void FakeEngine::end(Running& sequence, TokenEvent event) {
  sequence.ended = true;
  sequence.request.stream->push(std::move(event));
  sequence.request.stream->notify();
}

FakeEngine::Script say(std::shared_ptr<const Tokenizer> tokenizer, const std::string& text,
                       std::optional<std::int32_t> end) {
  auto tokens = tokenizer->encode(text, false);
  if (end) tokens.push_back(*end);
  return [tokens](const SequenceRequest&) { return tokens; };
}

FakeEngine::Script spell(std::shared_ptr<const Tokenizer> tokenizer, const std::string& text,
                         std::optional<std::int32_t> end) {
  std::vector<std::int32_t> tokens;
  for (const char byte : text) {
    std::int32_t id = 0;
    while (id < tokenizer->vocab_size() && tokenizer->token_bytes(id) != std::string(1, byte)) ++id;
    if (id == tokenizer->vocab_size()) throw std::invalid_argument("no token for a byte");
    tokens.push_back(id);
  }
  if (end) tokens.push_back(*end);
  return [tokens](const SequenceRequest&) { return tokens; };
}

}  // namespace dejavu
