#include "sparsity/analysis/ridge.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/model/parallel.h"

namespace dejavu {
namespace {

constexpr double kRidge = 1e-3;  // of the mean squared feature

HostMatrix with_ones(const HostMatrix& x) {
  HostMatrix out(x.rows, x.cols + 1);
  for (std::size_t r = 0; r < x.rows; ++r) {
    std::copy_n(x.row(r), x.cols, out.row(r));
    out.row(r)[x.cols] = 1;
  }
  return out;
}

void accumulate(HostMatrix& sum, const HostMatrix& part) {
  if (sum.values.empty()) sum = HostMatrix(part.rows, part.cols);
  for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += part.values[i];
}

// The lower factor of a positive definite matrix, in double.
std::vector<double> cholesky(const HostMatrix& matrix, double ridge) {
  const std::size_t n = matrix.rows;
  std::vector<double> factor(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    double* row = factor.data() + i * n;
    for (std::size_t j = 0; j <= i; ++j) {
      const double* other = factor.data() + j * n;
      double sum = static_cast<double>(matrix.row(i)[j]) + (i == j ? ridge : 0.0);
      for (std::size_t k = 0; k < j; ++k) sum -= row[k] * other[k];
      row[j] = i == j ? std::sqrt(std::max(sum, ridge)) : sum / other[j];
    }
  }
  return factor;
}

// x in factor factor^T x = b, for one column.
void solve_column(const std::vector<double>& factor, std::size_t n, double* b) {
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = factor.data() + i * n;
    double sum = b[i];
    for (std::size_t k = 0; k < i; ++k) sum -= row[k] * b[k];
    b[i] = sum / row[i];
  }
  for (std::size_t i = n; i-- > 0;) {
    const double* row = factor.data() + i * n;
    b[i] /= row[i];
    for (std::size_t k = 0; k < i; ++k) b[k] -= row[k] * b[i];
  }
}

}  // namespace

HostMatrix transposed(const HostMatrix& x) {
  HostMatrix out(x.cols, x.rows);
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t c = 0; c < x.cols; ++c) out.row(c)[r] = x.row(r)[c];
  return out;
}

HostMatrix multiply_transposed(const HostMatrix& a, const HostMatrix& b, Backend& backend) {
  assert(a.cols == b.cols);
  const auto place = [&backend](const HostMatrix& host, Buffer& buffer) {
    Matrix matrix{buffer.data(), DType::kF32, static_cast<std::int64_t>(host.rows),
                  static_cast<std::int64_t>(host.cols), static_cast<std::int64_t>(host.cols)};
    upload(host, matrix, backend);
    return matrix;
  };
  HostMatrix y(a.rows, b.rows);
  auto memory_a = backend.allocate(a.values.size() * sizeof(float));
  auto memory_b = backend.allocate(b.values.size() * sizeof(float));
  auto memory_y = backend.allocate(y.values.size() * sizeof(float));
  if (!memory_a || !memory_b || !memory_y) return y;
  const Matrix x = place(a, *memory_a), w = place(b, *memory_b), out = place(y, *memory_y);
  LinearArgs args;
  args.x = x;
  args.w = w;
  args.y = out;
  backend.linear(args, StreamId::kMain);
  return download(out, backend);
}

HostMatrix solve_ridge(const HostMatrix& gram, const HostMatrix& moments, double ridge) {
  const std::size_t n = gram.rows;
  const std::vector<double> factor = cholesky(gram, ridge);
  HostMatrix solution = transposed(moments);
  parallel_rows(static_cast<std::int64_t>(solution.rows),
                [&](std::int64_t begin, std::int64_t end) {
                  std::vector<double> column(n);
                  for (std::int64_t i = begin; i < end; ++i) {
                    float* row = solution.row(static_cast<std::size_t>(i));
                    std::copy_n(row, n, column.begin());
                    solve_column(factor, n, column.data());
                    std::transform(column.begin(), column.end(), row,
                                   [](double value) { return static_cast<float>(value); });
                  }
                });
  return solution;
}

void Ridge::add(const HostMatrix& x, const HostMatrix& y, Backend& backend) {
  const HostMatrix features = transposed(with_ones(x));
  accumulate(gram_, multiply_transposed(features, features, backend));
  accumulate(moments_, multiply_transposed(features, transposed(y), backend));
  squares_.resize(y.cols);
  for (std::size_t t = 0; t < y.rows; ++t)
    for (std::size_t i = 0; i < y.cols; ++i)
      squares_[i] += static_cast<double>(y.row(t)[i]) * static_cast<double>(y.row(t)[i]);
}

void Ridge::solve() {
  const std::size_t n = gram_.rows;
  const double tokens = static_cast<double>(gram_.row(n - 1)[n - 1]);
  double trace = 0;
  for (std::size_t i = 0; i + 1 < n; ++i) trace += static_cast<double>(gram_.row(i)[i]);
  coefficients_ = solve_ridge(gram_, moments_, kRidge * trace / static_cast<double>(n));
  const HostMatrix moments = transposed(moments_);
  deviations_.resize(moments.rows);
  for (std::size_t i = 0; i < moments.rows; ++i) {
    double explained = 0;
    for (std::size_t k = 0; k < n; ++k)
      explained +=
          static_cast<double>(coefficients_.row(i)[k]) * static_cast<double>(moments.row(i)[k]);
    const double rest = std::max(squares_[i] - explained, 1e-6 * squares_[i]);
    deviations_[i] = static_cast<float>(std::sqrt(rest / tokens));
  }
  gram_ = HostMatrix();
  moments_ = HostMatrix();
}

HostMatrix Ridge::forecast(const HostMatrix& x, Backend& backend) const {
  return multiply_transposed(with_ones(x), coefficients_, backend);
}

}  // namespace dejavu
