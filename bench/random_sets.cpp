#include "bench/random_sets.h"

#include <algorithm>
#include <numeric>

namespace dejavu {

Result<RandomSets> RandomSets::create(Backend& backend, int units, int max_tokens) {
  RandomSets sets;
  sets.units_ = units;
  sets.order_.resize(static_cast<std::size_t>(units));
  std::iota(sets.order_.begin(), sets.order_.end(), 0);
  sets.host_words_.resize(static_cast<std::size_t>(max_tokens) *
                          static_cast<std::size_t>(mask_words(units)));
  sets.host_ids_.resize(static_cast<std::size_t>(units) + 1);
  auto memory = backend.allocate(sets.host_words_.size() * sizeof(std::uint32_t));
  if (!memory) return tl::unexpected(memory.error());
  auto ids = backend.allocate(sets.host_ids_.size() * sizeof(std::int32_t));
  if (!ids) return tl::unexpected(ids.error());
  sets.memory_ = std::move(*memory);
  sets.ids_ = std::move(*ids);
  return sets;
}

// Fisher and Yates' shuffle, as far as it is needed: the first units of `order_` are the draw. With
// a given union the tokens take turns in a draw of that size, so that each unit of it is used.
void RandomSets::draw(Backend& backend, const Draw& draw, std::mt19937_64& random) {
  const auto shuffle = [&](int count) {
    for (int i = 0; i < count; ++i) {
      std::uniform_int_distribution<int> any(i, units_ - 1);
      std::swap(order_[static_cast<std::size_t>(i)], order_[static_cast<std::size_t>(any(random))]);
    }
  };
  const int words = mask_words(units_);
  std::fill(host_words_.begin(), host_words_.end(), 0U);
  std::vector<bool> in_union(static_cast<std::size_t>(units_));
  if (draw.united > 0) shuffle(draw.united);
  for (int t = 0; t < draw.tokens; ++t) {
    if (draw.united == 0) shuffle(draw.each);
    for (int i = 0; i < draw.each; ++i) {
      const int place = draw.united == 0 ? i : (t * draw.each + i) % draw.united;
      const auto unit = static_cast<std::size_t>(order_[static_cast<std::size_t>(place)]);
      host_words_[static_cast<std::size_t>(t * words) + unit / 32] |= 1U << (unit % 32);
      in_union[unit] = true;
    }
  }
  union_ = 0;
  for (int u = 0; u < units_; ++u) {
    if (in_union[static_cast<std::size_t>(u)]) host_ids_[static_cast<std::size_t>(union_++)] = u;
  }
  host_ids_.back() = union_;
  const std::size_t used = static_cast<std::size_t>(draw.tokens * words) * sizeof(std::uint32_t);
  backend.upload(memory_.data(), host_words_.data(), used, StreamId::kMain);
  backend.upload(ids_.data(), host_ids_.data(), host_ids_.size() * sizeof(std::int32_t),
                 StreamId::kMain);
}

}  // namespace dejavu
