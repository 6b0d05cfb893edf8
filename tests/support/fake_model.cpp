#include "tests/support/fake_model.h"

#include <algorithm>
#include <cstring>

namespace dejavu {
namespace {

constexpr std::uint32_t kHashStart = 2166136261U;

std::uint32_t mix(std::uint32_t hash, std::int32_t token) {
  hash = (hash ^ static_cast<std::uint32_t>(token)) * 16777619U;
  return hash ^ (hash >> 15);
}

void write_logits(std::uint32_t context, std::span<float> logits) {
  for (std::size_t v = 0; v < logits.size(); ++v) {
    std::uint32_t h = mix(mix(context, static_cast<std::int32_t>(v)), 77);
    h *= 0x85ebca6bU;
    h ^= h >> 13;
    logits[v] = static_cast<float>(h & 0xffffU) / 8192.0F - 4.0F;
  }
}

}  // namespace

FakeBackend::FakeBackend(bool deferred) : deferred_(deferred) {
  info_.device = "cpu";
  info_.memory_bytes = std::size_t{1} << 30;
  info_.memory_source = "fake";
  info_.asynchronous = deferred;
}

Result<Buffer> FakeBackend::allocate(std::size_t bytes) {
  auto* words = new std::uint64_t[bytes / 8 + 1]();
  return Buffer(words, bytes,
                [](void* data, std::size_t) { delete[] static_cast<std::uint64_t*>(data); });
}

void FakeBackend::run(std::function<void()> op) {
  ++queued_;
  if (deferred_) {
    queue_.push_back(std::move(op));
  } else {
    op();
    done_ = queued_;
  }
}

Status FakeBackend::wait(std::uint64_t mark) {
  if (on_wait) on_wait();
  if (waits_left_-- <= 0) return fail(ErrorCode::kInternal, "the fake device is gone");
  for (; done_ < mark; ++done_) {
    queue_.front()();
    queue_.pop_front();
  }
  return {};
}

Status FakeBackend::synchronize(StreamId /*stream*/) { return wait(queued_); }

void FakeBackend::upload(void* device, const void* host, std::size_t bytes, StreamId /*stream*/) {
  run([=] { std::memcpy(device, host, bytes); });
}

void FakeBackend::download(void* host, const void* device, std::size_t bytes, StreamId /*stream*/) {
  run([=] { std::memcpy(host, device, bytes); });
}

void FakeBackend::set_sampler_slot(const SamplerSlotArgs& args, StreamId /*stream*/) {
  const std::vector<std::int32_t> prompt(args.prompt, args.prompt + args.prompt_length);
  const std::vector<std::int32_t> output(args.output, args.output + args.output_length);
  run([this, own = args, prompt, output, params = *args.params]() mutable {
    own.params = &params;
    own.prompt = prompt.data();
    own.output = output.data();
    sampler_.set_slot(own);
  });
}

void FakeBackend::sample(const SampleArgs& args, StreamId /*stream*/) {
  run([this, args] { sampler_.sample(args); });
}

FakeTransformer::FakeTransformer(FakeBackend& backend, int vocab_size, int max_model_len)
    : backend_(backend) {
  config_.vocab_size = vocab_size;
  config_.max_position = max_model_len;
}

ConstMatrix FakeTransformer::forward(const StepBatch& batch, const KvCache& cache) {
  const auto vocab = static_cast<std::size_t>(config_.vocab_size);
  auto& logits = logits_.emplace_back(static_cast<std::size_t>(batch.logit_rows) * vocab);
  if (logits_.size() > 3) logits_.pop_front();
  backend_.run(
      [this, batch, kv = cache.layer(0), out = logits.data()] { compute(batch, kv, out); });
  return {logits.data(), DType::kF32, batch.logit_rows, config_.vocab_size, config_.vocab_size};
}

void FakeTransformer::compute(const StepBatch& batch, const KvView& kv, float* logits) {
  auto* ids = static_cast<std::int32_t*>(kv.k);
  auto* positions = static_cast<std::int32_t*>(kv.v);
  computed_ += batch.tokens;
  for (int t = 0; t < batch.tokens; ++t) {
    const std::int32_t id = batch.ids[t];
    ids[batch.kv_slots[t]] = id >= 0 ? id : batch.last_tokens[~id];
    positions[batch.kv_slots[t]] = batch.positions[t];
  }
  const auto vocab = static_cast<std::size_t>(config_.vocab_size);
  for (int row = 0; row < batch.logit_rows; ++row) {
    const int token = batch.logit_tokens[row];
    const auto s = std::upper_bound(batch.query_start, batch.query_start + batch.sequences, token) -
                   batch.query_start - 1;
    const std::int32_t* pages = batch.page_table + s * batch.page_table_stride;
    if (batch.positions[token] >= batch.context_length[s]) ++misplaced_;
    std::uint32_t hash = kHashStart;
    for (int p = 0; p <= batch.positions[token]; ++p) {
      const int slot = pages[p / kKvPageTokens] * kKvPageTokens + p % kKvPageTokens;
      if (positions[slot] != p) ++misplaced_;
      hash = mix(hash, ids[slot]);
    }
    write_logits(hash, {logits + static_cast<std::size_t>(row) * vocab, vocab});
  }
}

std::vector<float> fake_logits(std::span<const std::int32_t> context, int vocab_size) {
  std::uint32_t hash = kHashStart;
  for (const std::int32_t token : context) hash = mix(hash, token);
  std::vector<float> logits(static_cast<std::size_t>(vocab_size));
  write_logits(hash, logits);
  return logits;
}

std::vector<std::int32_t> fake_answer(const std::vector<std::int32_t>& prompt,
                                      const SamplingParams& params, int vocab_size,
                                      int max_model_len) {
  SamplerState state;
  state.reset(params, params.seed.value_or(0), prompt, {});
  SampleScratch scratch;
  std::vector<std::int32_t> context = prompt;
  std::vector<std::int32_t> answer;
  const auto ends = [&](const std::vector<std::int32_t>& stops) {
    return std::find(stops.begin(), stops.end(), answer.back()) != stops.end();
  };
  while (static_cast<int>(answer.size()) < params.max_tokens &&
         static_cast<int>(context.size()) < max_model_len) {
    SampleOutput output;
    sample_row(fake_logits(context, vocab_size), state, scratch, output);
    state.advance(output.token);
    context.push_back(output.token);
    answer.push_back(output.token);
    const bool may_stop = static_cast<int>(answer.size()) > params.min_tokens;
    if (may_stop &&
        (ends(params.stop_token_ids) || (!params.ignore_eos && ends(params.eos_token_ids)))) {
      break;
    }
  }
  return answer;
}

}  // namespace dejavu
