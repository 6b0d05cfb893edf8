// Random sets of units for op tests, on the host and on a backend, and what predict() would say of
// them.
#pragma once

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

namespace dejavu {

class Sets {
 public:
  // Each unit is in a token's set with probability `density`.
  Sets(Backend& backend, std::int64_t tokens, int units, double density, std::mt19937& random)
      : units_(units), stride_(mask_words(units) + 1) {
    std::bernoulli_distribution in(density);
    std::vector<std::int32_t> words(static_cast<std::size_t>(std::max<std::int64_t>(tokens, 1)) *
                                    static_cast<std::size_t>(stride_));
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (int u = 0; u < units; ++u) {
        if (!in(random)) continue;
        auto& word = words[static_cast<std::size_t>(t * stride_ + u / 32)];
        word = static_cast<std::int32_t>(static_cast<std::uint32_t>(word) | 1U << (u % 32));
      }
    }
    words_ = std::make_unique<Indices>(backend, words);
    std::vector<std::int32_t> ids;
    for (int u = 0; u < units; ++u) {
      bool any = false;
      for (std::int64_t t = 0; t < tokens; ++t) any = any || has(t, u);
      if (any) ids.push_back(u);
    }
    count_ = std::make_unique<Indices>(backend, std::vector{static_cast<std::int32_t>(ids.size())});
    ids.resize(static_cast<std::size_t>(units) + 1, -1);  // as much room as predict() asks for
    ids_ = std::make_unique<Indices>(backend, ids);
  }

  bool has(std::int64_t token, int unit) const {
    const auto word = static_cast<std::uint32_t>(words_->host()[token * stride_ + unit / 32]);
    return (word >> (unit % 32) & 1U) != 0;
  }
  bool in_union(std::int64_t tokens, int unit) const {
    for (std::int64_t t = 0; t < tokens; ++t) {
      if (has(t, unit)) return true;
    }
    return false;
  }
  // From token `first` on.
  MaskView device(std::int64_t first = 0) const {
    // NOLINTNEXTLINE: the op contract's view serves writers too.
    auto* words = reinterpret_cast<std::uint32_t*>(const_cast<std::int32_t*>(words_->device()));
    return {words + first * stride_, units_, stride_};
  }
  const std::int32_t* union_ids() const { return ids_->device(); }
  const std::int32_t* union_count() const { return count_->device(); }

 private:
  int units_;
  int stride_;
  std::unique_ptr<Indices> words_;
  std::unique_ptr<Indices> ids_;
  std::unique_ptr<Indices> count_;
};

// Every bit of a matrix on a backend.
inline std::vector<unsigned char> bits_of(Operand& operand) {
  operand.download();
  std::vector<unsigned char> bits;
  for (std::int64_t r = 0; r < operand.host().rows; ++r) {
    const std::vector<unsigned char> row = operand.row_bytes(r);
    bits.insert(bits.end(), row.begin(), row.end());
  }
  return bits;
}

// Two ways to the same values (promises_bits()), through activations of `dtype`.
inline bool agree(const Backend& backend, DType dtype, Operand& a, Operand& b) {
  if (promises_bits(backend)) return bits_of(a) == bits_of(b);
  a.download();
  b.download();
  std::vector<double> expected;
  for (std::int64_t r = 0; r < b.host().rows; ++r)
    for (std::int64_t c = 0; c < b.host().cols; ++c) expected.push_back(b.at(r, c));
  return relative_error(a, expected) <= tolerance(dtype);
}

}  // namespace dejavu
