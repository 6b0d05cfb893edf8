#include "sparsity/calibration/low_rank.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "sparsity/analysis/ridge.h"

namespace dejavu {
namespace {

constexpr std::size_t kOversampling = 16;
constexpr int kIterations = 6;
constexpr int kSweeps = 12;

HostMatrix transpose(const HostMatrix& from) {
  HostMatrix to(from.cols, from.rows);
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t c = 0; c < from.cols; ++c) to.row(c)[r] = from.row(r)[c];
  return to;
}

double dot(const float* a, const float* b, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Gram-Schmidt on the rows, twice; a row without anything of its own becomes zero.
void orthonormalize(HostMatrix& rows) {
  for (std::size_t r = 0; r < rows.rows; ++r) {
    float* row = rows.row(r);
    const double before = std::sqrt(dot(row, row, rows.cols));
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t q = 0; q < r; ++q) {
        const auto share = static_cast<float>(dot(row, rows.row(q), rows.cols));
        for (std::size_t c = 0; c < rows.cols; ++c) row[c] -= share * rows.row(q)[c];
      }
    }
    const double length = std::sqrt(dot(row, row, rows.cols));
    const auto scale = static_cast<float>(length > 1e-6 * before ? 1 / length : 0);
    for (std::size_t c = 0; c < rows.cols; ++c) row[c] *= scale;
  }
}

// Eigenvectors of a symmetric matrix as rows, the largest eigenvalue first (Jacobi).
HostMatrix eigenvectors(HostMatrix matrix) {
  const std::size_t n = matrix.rows;
  HostMatrix vectors(n, n);
  for (std::size_t i = 0; i < n; ++i) vectors.row(i)[i] = 1;
  const auto rotate_rows = [n](HostMatrix& m, std::size_t p, std::size_t q, double c, double s) {
    for (std::size_t k = 0; k < n; ++k) {
      const double a = m.row(p)[k], b = m.row(q)[k];
      m.row(p)[k] = static_cast<float>(c * a - s * b);
      m.row(q)[k] = static_cast<float>(s * a + c * b);
    }
  };
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        const double off = matrix.row(p)[q];
        const double scale = std::abs(matrix.row(p)[p]) + std::abs(matrix.row(q)[q]);
        if (std::abs(off) <= 1e-9 * scale) continue;
        const double theta = (static_cast<double>(matrix.row(q)[q]) - matrix.row(p)[p]) / (2 * off);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1);
        const double s = t * c;
        rotate_rows(matrix, p, q, c, s);
        for (std::size_t k = 0; k < n; ++k) {
          const double a = matrix.row(k)[p], b = matrix.row(k)[q];
          matrix.row(k)[p] = static_cast<float>(c * a - s * b);
          matrix.row(k)[q] = static_cast<float>(s * a + c * b);
        }
        rotate_rows(vectors, p, q, c, s);
      }
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&matrix](std::size_t a, std::size_t b) {
    return matrix.row(a)[a] > matrix.row(b)[b];
  });
  HostMatrix sorted(n, n);
  for (std::size_t i = 0; i < n; ++i) std::copy_n(vectors.row(order[i]), n, sorted.row(i));
  return sorted;
}

HostMatrix first_rows_of(const HostMatrix& matrix, std::size_t rows) {
  HostMatrix out(rows, matrix.cols);
  std::copy_n(matrix.values.begin(), out.values.size(), out.values.begin());
  return out;
}

}  // namespace

LowRankMap reduce_rank(const HostMatrix& map, const HostMatrix& gram, int rank, Backend& backend) {
  const std::size_t most = std::min(map.rows, map.cols);
  const std::size_t kept = std::min(static_cast<std::size_t>(rank), most);
  const HostMatrix turned = transpose(map);  // [input][units]
  HostMatrix basis(std::min(kept + kOversampling, most), map.rows);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  for (float& value : basis.values) value = normal(random);
  orthonormalize(basis);
  // Rows of `basis` times map gram map^T.
  const auto apply = [&](const HostMatrix& rows) {
    HostMatrix low = multiply_transposed(rows, turned, backend);
    if (gram.rows != 0) low = multiply_transposed(low, gram, backend);
    return multiply_transposed(low, map, backend);
  };
  for (int i = 0; i < kIterations; ++i) {
    basis = apply(basis);
    orthonormalize(basis);
  }
  const HostMatrix small = multiply_transposed(apply(basis), basis, backend);
  const HostMatrix best = first_rows_of(eigenvectors(small), kept);
  const HostMatrix axes = multiply_transposed(best, transpose(basis), backend);  // [rank][units]
  LowRankMap result;
  result.down = multiply_transposed(axes, turned, backend);
  result.up = transpose(axes);
  return result;
}

}  // namespace dejavu
