// Levels are bought at a price: what leaving a unit out may cost. The higher it is, the less is
// read.
#pragma once

#include <cmath>
#include <utility>

namespace dejavu {

// What `choose` makes of the highest price whose choice is still `good`; of the lowest where none
// is. Goodness falls with the price.
template <class Choose, class Good>
auto dearest(const Choose& choose, const Good& good) {
  constexpr int kBisections = 40;
  constexpr double kCheapest = 1e-12, kDearest = 1;
  double low = std::log(kCheapest), high = std::log(kDearest);
  auto best = choose(kCheapest);
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    auto choice = choose(std::exp(middle));
    if (good(choice)) {
      low = middle;
      best = std::move(choice);
    } else {
      high = middle;
    }
  }
  return best;
}

}  // namespace dejavu
