// The sampler on the device: sampling state by slot, and the rows of a step. Equal to the CPU's
// sampler given equal logits.
#pragma once

#include <memory>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/queue.h"
#include "engine/backend/cuda/resources.h"
#include "engine/backend/cuda/staging.h"

namespace dejavu::cuda {

// What a slot's parameters say, as kernels read it. Lists lie in the slot's own memory.
struct DeviceSlot {
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float repetition_penalty = 1;
  int top_k = 0;
  int logprobs = -1;
  int prompt_logprobs = -1;
  int min_tokens = 0;
  std::int32_t end_token = -1;  // when everything is masked; -1: none
  std::uint64_t seed = 0;
  int produced = 0;  // tokens of output so far

  const std::int32_t* allowed = nullptr;
  const std::int32_t* stops = nullptr;       // masked until min_tokens
  const std::int32_t* biased = nullptr;      // in the request's order
  const float* biases = nullptr;             // of biased
  const std::int32_t* bad_words = nullptr;   // one after another
  const std::int32_t* bad_starts = nullptr;  // [bad_count + 1]
  int allowed_count = 0;
  int stop_count = 0;
  int bias_count = 0;
  int bad_count = 0;
  // Last tokens of the output, newest first: as many as the longest bad word may need.
  std::int32_t* tail = nullptr;
  int tail_length = 0;
  // [vocab]: 0 when a token has not occurred, else 1 + its occurrences in the output. Null: no
  // penalty is on.
  std::int32_t* seen = nullptr;
};

class Sampler {
 public:
  Sampler(Errors& errors, Staging& staging) : errors_(errors), staging_(staging) {}

  // Takes effect with the slot's next row.
  void set_slot(const SamplerSlotArgs& args);
  void sample(const Queue& queue, const SampleArgs& args);

 private:
  struct Slot {
    bool entering = false;  // what follows is not on the device yet
    SamplingParams params;
    std::uint64_t seed = 0;
    std::vector<std::int32_t> output;
    std::vector<std::int32_t> occurred;  // the prompt, where a penalty asks for it

    DeviceMemory lists;
    std::size_t list_bytes = 0;
    DeviceMemory seen;
    std::size_t seen_bytes = 0;
  };

  void enter(const Queue& queue, int index, std::int64_t vocab);
  std::int32_t* count_tokens(const Queue& queue, Slot& slot, std::int64_t vocab);
  void grow(const Queue& queue, int rows, std::int64_t vocab);

  Errors& errors_;
  Staging& staging_;
  std::vector<Slot> slots_;
  DeviceMemory table_;  // DeviceSlot [table_size_]
  int table_size_ = 0;
  DeviceMemory rows_;     // SampleRow [row_count_]
  DeviceMemory outputs_;  // SampleOutput [row_count_]
  DeviceMemory work_;     // [row_count_]: logits, ids, weights of vocab_ tokens, and sums
  int row_count_ = 0;
  std::int64_t vocab_ = 0;
};

}  // namespace dejavu::cuda
