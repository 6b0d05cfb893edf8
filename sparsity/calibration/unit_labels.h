// Which units each token uses, and what it costs to leave one of them out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

// Bit-packed labels, and a byte for each unit that is active: the square root of its cost (of the
// squared norm of its contribution), to an eighth of an octave, never 0.
class UnitLabels {
 public:
  explicit UnitLabels(int units) : units_(units), words_(mask_words(units)) {}

  void reserve(std::int64_t tokens);
  // The next token; units with a cost above zero are active. [units]
  void add(std::span<const float> costs);

  int units() const { return units_; }
  std::int64_t tokens() const { return static_cast<std::int64_t>(first_code_.size()); }
  const std::uint32_t* row(std::int64_t token) const { return bits_.data() + token * words_; }

  // Calls visit(unit, code) for each active unit of a token, ascending.
  template <class Visit>
  void for_active(std::int64_t token, const Visit& visit) const {
    const std::uint32_t* words = row(token);
    const std::uint8_t* code = codes_.data() + first_code_[static_cast<std::size_t>(token)];
    for (int w = 0; w < words_; ++w)
      for (std::uint32_t rest = words[w]; rest != 0; rest &= rest - 1)
        visit(w * 32 + __builtin_ctz(rest), *code++);
  }
  // Root of the cost that a code stands for.
  static float weight(std::uint8_t code);

 private:
  int units_, words_;
  std::vector<std::uint32_t> bits_;      // [tokens][words]
  std::vector<std::size_t> first_code_;  // [tokens]
  std::vector<std::uint8_t> codes_;
};

}  // namespace dejavu
