// Linear regression with a ridge, streamed over batches of tokens.
#pragma once

#include "sparsity/evaluation/probe.h"

namespace dejavu {

// a b^T, computed by the backend. Both have the same number of columns.
HostMatrix multiply_transposed(const HostMatrix& a, const HostMatrix& b, Backend& backend);

// x in x (gram + ridge) = moments^T, a row for each target. gram [n][n] is positive definite with
// `ridge` added to its diagonal; moments [n][targets].
HostMatrix solve_ridge(const HostMatrix& gram, const HostMatrix& moments, double ridge);
HostMatrix transposed(const HostMatrix& matrix);

class Ridge {
 public:
  // x [T][features], y [T][targets]; the same widths in every call.
  void add(const HostMatrix& x, const HostMatrix& y, Backend& backend);
  // Fits what was added and forgets it.
  void solve();
  // Forecasts [T][targets].
  HostMatrix forecast(const HostMatrix& x, Backend& backend) const;
  // Standard deviation of the training targets around their forecasts, [targets].
  const std::vector<float>& deviations() const { return deviations_; }

 private:
  HostMatrix gram_;              // x^T x, with a column of ones in x
  HostMatrix moments_;           // x^T y
  std::vector<double> squares_;  // sum of y^2
  HostMatrix coefficients_;      // [targets][features + 1]
  std::vector<float> deviations_;
};

}  // namespace dejavu
