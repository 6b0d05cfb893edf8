// Sets drawn uniformly without replacement, one a token, in backend memory.
#pragma once

#include <random>
#include <span>
#include <vector>

#include "engine/backend/backend.h"

namespace dejavu {

class RandomSets {
 public:
  struct Draw {
    int tokens = 1;
    int each = 0;    // units in a token's set
    int united = 0;  // units in the union of all tokens' sets, at least `each`; 0: as drawn
  };

  static Result<RandomSets> create(Backend& backend, int units, int max_tokens);

  void draw(Backend& backend, const Draw& draw, std::mt19937_64& random);

  MaskView mask() const { return {memory_.as<std::uint32_t>(), units_, mask_words(units_)}; }
  const std::int32_t* union_ids() const { return ids_.as<std::int32_t>(); }
  const std::int32_t* union_count() const { return ids_.as<std::int32_t>() + units_; }
  double union_density() const { return static_cast<double>(union_) / units_; }
  // The union's ids on the host.
  std::span<const std::int32_t> united() const {
    return {host_ids_.data(), static_cast<std::size_t>(union_)};
  }

 private:
  int units_ = 0;
  int union_ = 0;
  std::vector<std::int32_t> order_;  // a permutation of the units
  std::vector<std::uint32_t> host_words_;
  std::vector<std::int32_t> host_ids_;  // the union's ids; its count stands at [units]
  Buffer memory_;                       // [max_tokens][mask_words]
  Buffer ids_;                          // [units + 1]
};

}  // namespace dejavu
