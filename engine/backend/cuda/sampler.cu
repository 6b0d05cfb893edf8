// The sampler: one block a row of logits. Its memory is a few hundred kilobytes a row, which stay
// in L2; beside a step it is small, and it never waits for the host.
#include <algorithm>

#include "engine/backend/cuda/choose_token.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/sampler.h"

namespace dejavu::cuda {
namespace {

struct SampleJob {
  ConstMatrix logits;
  const SampleRow* rows = nullptr;
  DeviceSlot* slots = nullptr;
  std::int32_t* last_tokens = nullptr;
  SampleOutput* out = nullptr;
  std::byte* work = nullptr;
  std::size_t work_bytes = 0;  // a row
};

std::size_t padded(std::size_t bytes) { return (bytes + 15) / 16 * 16; }
std::size_t array_bytes(std::int64_t vocab) { return padded(static_cast<std::size_t>(vocab) * 4); }
std::size_t row_bytes(std::int64_t vocab) {
  return 3 * array_bytes(vocab) + padded(static_cast<std::size_t>(vocab / 256 + 1) * 8);
}

__device__ void advance(DeviceSlot& slot, std::int32_t token) {
  for (int i = slot.tail_length - 1; i > 0; --i) slot.tail[i] = slot.tail[i - 1];
  if (slot.tail_length > 0) slot.tail[0] = token;
  if (slot.seen != nullptr) slot.seen[token] = (slot.seen[token] > 0 ? slot.seen[token] : 1) + 1;
  ++slot.produced;
}

__global__ void __launch_bounds__(kRowThreads) sample_kernel(SampleJob job) {
  await_inputs();
  const SampleRow what = job.rows[blockIdx.x];
  DeviceSlot& state = job.slots[what.slot];
  const DeviceSlot slot = state;
  const auto vocab = static_cast<int>(job.logits.cols);
  const float* raw = static_cast<const float*>(job.logits.data) + blockIdx.x * job.logits.stride;
  const std::size_t array = (static_cast<std::size_t>(vocab) * 4 + 15) / 16 * 16;
  std::byte* memory = job.work + blockIdx.x * job.work_bytes;
  RowWork work;
  work.logits = reinterpret_cast<float*>(memory);
  work.ids = reinterpret_cast<std::int32_t*>(memory + array);
  work.weights = reinterpret_cast<float*>(memory + 2 * array);
  work.sums = reinterpret_cast<double*>(memory + 3 * array);
  SampleOutput& out = job.out[blockIdx.x];
  if (threadIdx.x == 0) out = SampleOutput{};
  __syncthreads();
  if (what.score >= 0) {
    score_token(raw, vocab, what.score, slot.prompt_logprobs, work.sums, out);
    if (threadIdx.x == 0) out.token = what.score;
    return;
  }
  const std::int32_t token = choose_token(raw, vocab, slot, work);
  if (slot.logprobs >= 0) score_token(raw, vocab, token, slot.logprobs, work.sums, out);
  if (threadIdx.x > 0) return;
  out.token = token;
  job.last_tokens[what.slot] = token;
  advance(state, token);
}

// Lists of one slot, packed for one upload.
class Packer {
 public:
  template <class T>
  std::size_t add(const std::vector<T>& values) {
    const std::size_t offset = bytes_.size();
    const auto* first = reinterpret_cast<const std::byte*>(values.data());
    bytes_.insert(bytes_.end(), first, first + values.size() * sizeof(T));
    return offset;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

bool penalised(const SamplingParams& params) {
  return params.repetition_penalty != 1.0F || params.frequency_penalty != 0.0F ||
         params.presence_penalty != 0.0F;
}

}  // namespace

void Sampler::set_slot(const SamplerSlotArgs& args) {
  const auto index = static_cast<std::size_t>(args.slot);
  if (index >= slots_.size()) slots_.resize(index + 1);
  Slot& slot = slots_[index];
  slot.entering = true;
  slot.params = *args.params;
  slot.seed = args.seed;
  slot.output.assign(args.output, args.output + args.output_length);
  slot.occurred.clear();
  if (!penalised(*args.params)) return;
  slot.occurred.assign(args.prompt, args.prompt + args.prompt_length);
}

// The slot's state, lists and counts, on the way to the device.
void Sampler::enter(const Queue& queue, int index, std::int64_t vocab) {
  Slot& slot = slots_[static_cast<std::size_t>(index)];
  slot.entering = false;
  const SamplingParams& params = slot.params;
  DeviceSlot state;
  state.temperature = params.temperature;
  state.top_p = params.top_p;
  state.min_p = params.min_p;
  state.presence_penalty = params.presence_penalty;
  state.frequency_penalty = params.frequency_penalty;
  state.repetition_penalty = params.repetition_penalty;
  state.top_k = params.top_k;
  state.logprobs = params.logprobs;
  state.prompt_logprobs = params.prompt_logprobs;
  state.min_tokens = params.min_tokens;
  state.end_token = params.eos_token_ids.empty() ? -1 : params.eos_token_ids.front();
  state.seed = slot.seed;
  state.produced = static_cast<int>(slot.output.size());

  std::vector<std::int32_t> stops = params.stop_token_ids;
  if (!params.ignore_eos)
    stops.insert(stops.end(), params.eos_token_ids.begin(), params.eos_token_ids.end());
  std::vector<std::int32_t> biased;
  std::vector<float> biases;
  for (const auto& [token, bias] : params.logit_bias) {
    biased.push_back(token);
    biases.push_back(bias);
  }
  std::vector<std::int32_t> words;
  std::vector<std::int32_t> starts = {0};
  std::size_t longest = 0;
  for (const auto& word : params.bad_words) {
    words.insert(words.end(), word.begin(), word.end());
    starts.push_back(static_cast<std::int32_t>(words.size()));
    longest = std::max(longest, word.size() - 1);
  }
  std::vector<std::int32_t> tail(longest, -1);
  for (std::size_t i = 0; i < std::min(longest, slot.output.size()); ++i)
    tail[i] = slot.output[slot.output.size() - 1 - i];

  Packer packer;
  const std::size_t at[] = {packer.add(params.allowed_token_ids),
                            packer.add(stops),
                            packer.add(biased),
                            packer.add(biases),
                            packer.add(words),
                            packer.add(starts),
                            packer.add(tail)};
  if (slot.list_bytes < packer.bytes().size()) {
    slot.list_bytes = packer.bytes().size();
    slot.lists = make_device_memory(errors_, slot.list_bytes);
  }
  auto* lists = static_cast<std::byte*>(slot.lists.get());
  const auto ints = [&](int list) { return reinterpret_cast<std::int32_t*>(lists + at[list]); };
  state.allowed = ints(0);
  state.stops = ints(1);
  state.biased = ints(2);
  state.biases = reinterpret_cast<const float*>(lists + at[3]);
  state.bad_words = ints(4);
  state.bad_starts = ints(5);
  state.tail = ints(6);
  state.allowed_count = static_cast<int>(params.allowed_token_ids.size());
  state.stop_count = static_cast<int>(stops.size());
  state.bias_count = static_cast<int>(biased.size());
  state.bad_count = static_cast<int>(params.bad_words.size());
  state.tail_length = static_cast<int>(tail.size());
  staging_.upload(lists, packer.bytes().data(), packer.bytes().size(), queue.stream);
  state.seen = penalised(params) ? count_tokens(queue, slot, vocab) : nullptr;
  staging_.upload(static_cast<DeviceSlot*>(table_.get()) + index, &state, sizeof state,
                  queue.stream);
}

std::int32_t* Sampler::count_tokens(const Queue& queue, Slot& slot, std::int64_t vocab) {
  const std::size_t bytes = array_bytes(vocab);
  if (slot.seen_bytes < bytes) {
    slot.seen = make_device_memory(errors_, bytes);
    slot.seen_bytes = bytes;
  }
  std::vector<std::int32_t> seen(static_cast<std::size_t>(vocab));
  for (const std::int32_t token : slot.occurred) seen[static_cast<std::size_t>(token)] = 1;
  for (const std::int32_t token : slot.output) {
    std::int32_t& own = seen[static_cast<std::size_t>(token)];
    own = std::max(own, 1) + 1;
  }
  staging_.upload(slot.seen.get(), seen.data(), seen.size() * sizeof(std::int32_t), queue.stream);
  return static_cast<std::int32_t*>(slot.seen.get());
}

// Tables grow seldom; what they held moves along.
void Sampler::grow(const Queue& queue, int rows, std::int64_t vocab) {
  const auto slots = static_cast<int>(slots_.size());
  if (slots > table_size_) {
    const int size = std::max(slots, 2 * table_size_);
    DeviceMemory larger =
        make_device_memory(errors_, static_cast<std::size_t>(size) * sizeof(DeviceSlot));
    if (table_size_ > 0)
      errors_.check(cudaMemcpyAsync(larger.get(), table_.get(),
                                    static_cast<std::size_t>(table_size_) * sizeof(DeviceSlot),
                                    cudaMemcpyDeviceToDevice, queue.stream));
    errors_.check(cudaStreamSynchronize(queue.stream));
    table_ = std::move(larger);
    table_size_ = size;
  }
  if (rows > row_count_ || vocab > vocab_) {
    row_count_ = std::max(rows, row_count_);
    vocab_ = std::max(vocab, vocab_);
    const auto count = static_cast<std::size_t>(row_count_);
    errors_.check(cudaStreamSynchronize(queue.stream));
    rows_ = make_device_memory(errors_, count * sizeof(SampleRow));
    outputs_ = make_device_memory(errors_, count * sizeof(SampleOutput));
    work_ = make_device_memory(errors_, count * row_bytes(vocab_));
  }
}

void Sampler::sample(const Queue& queue, const SampleArgs& args) {
  if (args.count == 0) return;
  grow(queue, args.count, args.logits.cols);
  for (int r = 0; r < args.count; ++r) {
    const int index = args.rows[r].slot;
    if (slots_[static_cast<std::size_t>(index)].entering) enter(queue, index, args.logits.cols);
  }
  const auto count = static_cast<std::size_t>(args.count);
  staging_.upload(rows_.get(), args.rows, count * sizeof(SampleRow), queue.stream);
  SampleJob job;
  job.logits = args.logits;
  job.rows = static_cast<const SampleRow*>(rows_.get());
  job.slots = static_cast<DeviceSlot*>(table_.get());
  job.last_tokens = args.last_tokens;
  job.out = static_cast<SampleOutput*>(outputs_.get());
  job.work = static_cast<std::byte*>(work_.get());
  job.work_bytes = row_bytes(vocab_);
  launch(queue, grid(dim3(static_cast<unsigned>(args.count)), kRowThreads), sample_kernel, job);
  staging_.download(args.out, outputs_.get(), count * sizeof(SampleOutput), queue.stream);
}

}  // namespace dejavu::cuda
