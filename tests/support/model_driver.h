// Drives a Transformer step by step without the engine: a page table per sequence, pages handed out
// in a scattered order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/step_sparsity.h"
#include "engine/model/transformer.h"

namespace dejavu {

class ModelDriver {
 public:
  // Room for `pages` pages in all.
  ModelDriver(Transformer& model, Backend& backend, int pages);

  // Called around the layers of each step, as the engine calls it.
  void attach(StepSparsity* sparsity) { sparsity_ = sparsity; }

  int add_sequence();

  struct Feed {
    int sequence = 0;
    std::vector<std::int32_t> tokens;
    SparsityChoice choice = {};
  };
  // Runs one step and returns the logits of every token fed, in order: [tokens][vocab].
  std::vector<std::vector<float>> step(const std::vector<Feed>& feeds);
  // One sequence, whole or in chunks of `chunk`.
  std::vector<std::vector<float>> prompt(int sequence, std::span<const std::int32_t> tokens,
                                         int chunk);

 private:
  struct Sequence {
    std::vector<std::int32_t> pages;
    int length = 0;
  };

  const std::int32_t* upload(const std::vector<std::int32_t>& values);
  int slot(Sequence& sequence, int position);

  Transformer& model_;
  Backend& backend_;
  StepSparsity* sparsity_ = nullptr;
  KvCache cache_;
  int pages_used_ = 0;
  std::vector<Sequence> sequences_;
  std::vector<Buffer> uploads_;  // of the step
};

}  // namespace dejavu
