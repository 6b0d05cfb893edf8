#include "tests/support/model_driver.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace dejavu {
namespace {

int level_in(SparsityMode mode, const SparsityChoice& choice) {
  return choice.mode == mode ? choice.level : -1;
}

int& count_of(SparsityMode mode, SparsityCounts& counts) {
  switch (mode) {
    case SparsityMode::kExact:
      return counts.exact;
    case SparsityMode::kThreshold:
      return counts.threshold;
    case SparsityMode::kLookahead:
      return counts.lookahead;
    case SparsityMode::kDense:
      break;
  }
  return counts.dense;
}

}  // namespace

ModelDriver::ModelDriver(Transformer& model, Backend& backend, int pages)
    : model_(model), backend_(backend) {
  auto cache = KvCache::create(backend, model.kv_shape(), pages);
  if (!cache) throw std::runtime_error(cache.error().message);
  cache_ = std::move(*cache);
}

int ModelDriver::add_sequence() {
  sequences_.emplace_back();
  return static_cast<int>(sequences_.size()) - 1;
}

const std::int32_t* ModelDriver::upload(const std::vector<std::int32_t>& values) {
  auto buffer = backend_.allocate(std::max<std::size_t>(1, values.size()) * sizeof(std::int32_t));
  if (!buffer) throw std::runtime_error(buffer.error().message);
  backend_.upload(buffer->data(), values.data(), values.size() * sizeof(std::int32_t),
                  StreamId::kMain);
  uploads_.push_back(std::move(*buffer));
  return uploads_.back().as<std::int32_t>();
}

int ModelDriver::slot(Sequence& sequence, int position) {
  const auto page = static_cast<std::size_t>(position / kKvPageTokens);
  while (sequence.pages.size() <= page) {
    if (pages_used_ == cache_.pages()) throw std::runtime_error("ModelDriver: out of pages");
    // From the end: a sequence's pages are neither in order nor where its tokens are.
    sequence.pages.push_back(cache_.pages() - 1 - pages_used_++);
  }
  return sequence.pages[page] * kKvPageTokens + position % kKvPageTokens;
}

std::vector<std::vector<float>> ModelDriver::step(const std::vector<Feed>& feeds) {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> query_start{0};
  std::vector<std::int32_t> context_length;
  std::vector<std::int32_t> threshold_level;
  std::vector<std::int32_t> lookahead_level;
  SparsityCounts counts;
  std::size_t stride = 1;
  for (const Feed& feed : feeds) {
    Sequence& sequence = sequences_[static_cast<std::size_t>(feed.sequence)];
    for (const std::int32_t token : feed.tokens) {
      ids.push_back(token);
      positions.push_back(sequence.length);
      slots.push_back(slot(sequence, sequence.length++));
      threshold_level.push_back(level_in(SparsityMode::kThreshold, feed.choice));
      lookahead_level.push_back(level_in(SparsityMode::kLookahead, feed.choice));
      ++count_of(feed.choice.mode, counts);
    }
    query_start.push_back(static_cast<std::int32_t>(ids.size()));
    context_length.push_back(sequence.length);
    stride = std::max(stride, sequence.pages.size());
  }
  std::vector<std::int32_t> page_table;
  for (const Feed& feed : feeds) {
    const auto& pages = sequences_[static_cast<std::size_t>(feed.sequence)].pages;
    page_table.insert(page_table.end(), pages.begin(), pages.end());
    page_table.resize(page_table.size() + stride - pages.size(), -1);
  }
  std::vector<std::int32_t> logit_tokens(ids.size());
  std::iota(logit_tokens.begin(), logit_tokens.end(), 0);

  StepBatch batch;
  batch.tokens = static_cast<int>(ids.size());
  batch.sequences = static_cast<int>(feeds.size());
  batch.ids = upload(ids);
  batch.positions = upload(positions);
  batch.kv_slots = upload(slots);
  batch.query_start = upload(query_start);
  batch.context_length = upload(context_length);
  batch.page_table = upload(page_table);
  batch.page_table_stride = static_cast<int>(stride);
  batch.threshold_level = upload(threshold_level);
  batch.lookahead_level = upload(lookahead_level);
  batch.sparsity = counts;
  batch.logit_rows = batch.tokens;
  batch.logit_tokens = upload(logit_tokens);
  std::vector<TokenDensity> densities(ids.size());
  if (sparsity_ != nullptr) sparsity_->begin_step(batch);
  const ConstMatrix logits = model_.forward(batch, cache_);
  if (sparsity_ != nullptr) sparsity_->end_step(densities);

  std::vector<std::vector<float>> rows(ids.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].resize(static_cast<std::size_t>(logits.cols));
    backend_.download(rows[i].data(), logits.row(static_cast<std::int64_t>(i)),
                      rows[i].size() * sizeof(float), StreamId::kMain);
  }
  if (const Status done = backend_.synchronize(StreamId::kMain); !done)
    throw std::runtime_error(done.error().message);
  if (sparsity_ != nullptr) sparsity_->step_ended();
  uploads_.clear();
  return rows;
}

std::vector<std::vector<float>> ModelDriver::prompt(int sequence,
                                                    std::span<const std::int32_t> tokens,
                                                    int chunk) {
  std::vector<std::vector<float>> rows;
  for (std::size_t begin = 0; begin < tokens.size(); begin += static_cast<std::size_t>(chunk)) {
    const auto part =
        tokens.subspan(begin, std::min(static_cast<std::size_t>(chunk), tokens.size() - begin));
    for (auto& row : step({{sequence, {part.begin(), part.end()}}})) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace dejavu
