#include "sparsity/evaluation/window_runner.h"

#include <cassert>

namespace dejavu {
namespace {

int pages_for_window(int tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

// Integers of a step's metadata: five a token, the page table, and three for the one sequence.
std::size_t metadata_ints(int tokens) {
  return static_cast<std::size_t>(5 * tokens + pages_for_window(tokens) + 3);
}

}  // namespace

TransformerOptions window_options(int longest_window) {
  TransformerOptions options;
  options.max_batch_tokens = longest_window;
  options.max_logit_rows = longest_window;
  return options;
}

Result<std::unique_ptr<WindowRunner>> WindowRunner::create(Transformer& model, Backend& backend,
                                                           int longest_window) {
  std::unique_ptr<WindowRunner> runner(new WindowRunner(model, backend));
  auto cache = KvCache::create(backend, model.kv_shape(), pages_for_window(longest_window));
  if (!cache) return tl::unexpected(cache.error());
  runner->cache_ = std::move(*cache);
  auto metadata = backend.allocate(metadata_ints(longest_window) * sizeof(std::int32_t));
  if (!metadata) return tl::unexpected(metadata.error());
  runner->metadata_ = std::move(*metadata);
  return runner;
}

StepBatch WindowRunner::make_batch(const TokenWindow& window, const SparsityChoice& choice) {
  const auto tokens = static_cast<std::int32_t>(window.size());
  const int level_threshold = choice.mode == SparsityMode::kThreshold ? choice.level : -1;
  const int level_lookahead = choice.mode == SparsityMode::kLookahead ? choice.level : -1;
  std::vector<std::int32_t> host(window.begin(), window.end());
  const auto* base = metadata_.as<std::int32_t>();
  StepBatch batch;
  batch.ids = base;
  const auto count_up = [&](std::int32_t count) {
    const auto* at = base + host.size();
    for (std::int32_t i = 0; i < count; ++i) host.push_back(i);
    return at;
  };
  // Pages lie in order, so that positions, slots and rows are the same numbers.
  batch.positions = batch.kv_slots = batch.logit_tokens = count_up(tokens);
  batch.page_table = count_up(pages_for_window(tokens));
  batch.page_table_stride = pages_for_window(tokens);
  batch.threshold_level = base + host.size();
  host.insert(host.end(), window.size(), level_threshold);
  batch.lookahead_level = base + host.size();
  host.insert(host.end(), window.size(), level_lookahead);
  batch.query_start = base + host.size();
  host.insert(host.end(), {0, tokens});
  batch.context_length = base + host.size();
  host.push_back(tokens);
  backend_.upload(metadata_.data(), host.data(), host.size() * sizeof(std::int32_t),
                  StreamId::kMain);

  batch.tokens = tokens;
  batch.sequences = 1;
  batch.logit_rows = tokens;
  choices_.assign(window.size(), choice);
  batch.choices = choices_.data();
  SparsityCounts& counts = batch.sparsity;
  int& mine = choice.mode == SparsityMode::kExact       ? counts.exact
              : choice.mode == SparsityMode::kThreshold ? counts.threshold
              : choice.mode == SparsityMode::kLookahead ? counts.lookahead
                                                        : counts.dense;
  mine = tokens;
  return batch;
}

Result<std::span<const float>> WindowRunner::run(const TokenWindow& window,
                                                 const SparsityChoice& choice) {
  assert(metadata_ints(static_cast<int>(window.size())) * sizeof(std::int32_t) <=
         metadata_.bytes());
  const StepBatch batch = make_batch(window, choice);
  densities_.assign(window.size(), TokenDensity{});
  if (sparsity_ != nullptr) sparsity_->begin_step(batch);
  const ConstMatrix logits = model_.forward(batch, cache_);
  if (sparsity_ != nullptr) sparsity_->end_step(densities_);
  logits_.resize(window.size() * static_cast<std::size_t>(logits.cols));
  backend_.download(logits_.data(), logits.data, logits_.size() * sizeof(float), StreamId::kMain);
  if (Status done = backend_.synchronize(StreamId::kMain); !done)
    return tl::unexpected(done.error());
  if (sparsity_ != nullptr) sparsity_->step_ended();
  return std::span<const float>(logits_);
}

}  // namespace dejavu
