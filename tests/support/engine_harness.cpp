#include "tests/support/engine_harness.h"

#include <bit>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace dejavu {

using namespace std::chrono_literals;

struct Listener::Bell {
  std::mutex mutex;
  std::condition_variable rung;
  int count = 0;
  int until_cancel = 0;           // rings; 0: never
  TokenStream* stream = nullptr;  // which holds this
};

Listener::Listener(int max_tokens) : bell_(std::make_shared<Bell>()) {
  stream_ = std::make_shared<TokenStream>(static_cast<std::size_t>(max_tokens), [bell = bell_] {
    {
      const std::lock_guard lock(bell->mutex);
      ++bell->count;
      if (--bell->until_cancel == 0) bell->stream->cancel();
    }
    bell->rung.notify_all();
  });
  bell_->stream = stream_.get();
}

void Listener::cancel_after(int rings) { bell_->until_cancel = rings; }

const Answer& Listener::wait(std::size_t tokens) {
  const auto limit = std::chrono::steady_clock::now() + 60s;
  while (answer_.finish == FinishReason::kNone && answer_.tokens.size() < tokens) {
    {
      std::unique_lock lock(bell_->mutex);
      if (!bell_->rung.wait_until(lock, limit, [this] { return bell_->count > 0; })) break;
      bell_->count = 0;
    }
    TokenEvent event;
    while (stream_->try_pop(event)) {
      if (event.token >= 0) answer_.tokens.push_back(event.token);
      answer_.finish = event.finish;
      if (event.error) answer_.error = *event.error;
      answer_.events.push_back(event);
    }
  }
  return answer_;
}

FakeEngine::FakeEngine(const Setup& setup) : backend(setup.deferred) {
  auto owned = std::make_unique<FakeTransformer>(backend, setup.vocab_size, setup.max_model_len);
  model = owned.get();
  EngineOptions options = setup.options;
  options.kv_cache_bytes =
      static_cast<std::size_t>(setup.kv_pages) * owned->kv_shape().page_bytes();
  auto made = create_engine(backend, std::move(owned), options, setup.launch_ahead);
  if (!made) throw std::runtime_error(made.error().message);
  engine = std::move(*made);
}

bool FakeEngine::settle() const {
  const auto limit = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < limit) {
    const EngineStats stats = engine->stats();
    if (stats.running == 0 && stats.waiting == 0 && stats.kv_pages_used == 0) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

SequenceRequest make_request(std::vector<std::int32_t> prompt, const SamplingParams& params,
                             const Listener& listener) {
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.sampling = params;
  request.stream = listener.stream();
  return request;
}

Answer ask(Engine& engine, const std::vector<std::int32_t>& prompt, const SamplingParams& params) {
  Listener listener(params.max_tokens);
  std::vector<SequenceRequest> requests;
  requests.push_back(make_request(prompt, params, listener));
  if (auto status = engine.submit(std::move(requests)); !status) {
    Answer refused;
    refused.finish = FinishReason::kError;
    refused.error = status.error();
    return refused;
  }
  return listener.wait();
}

std::vector<std::uint32_t> bits_of(const Answer& answer) {
  std::vector<std::uint32_t> bits;
  for (const TokenEvent& event : answer.events) {
    bits.push_back(static_cast<std::uint32_t>(event.token));
    bits.push_back(std::bit_cast<std::uint32_t>(event.logprob->logprob));
    for (const auto& [token, logprob] : event.logprob->top) {
      bits.push_back(static_cast<std::uint32_t>(token));
      bits.push_back(std::bit_cast<std::uint32_t>(logprob));
    }
  }
  return bits;
}

}  // namespace dejavu
