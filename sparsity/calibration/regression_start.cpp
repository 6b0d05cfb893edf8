#include "sparsity/calibration/regression_start.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sparsity/analysis/ridge.h"
#include "sparsity/calibration/low_rank.h"

namespace dejavu {
namespace {

constexpr std::int64_t kAtOnce = 2048;
constexpr double kRidge = 1e-4;      // of the mean square of an input
constexpr double kLogitScale = 1.7;  // of the normal distribution's spread in log-odds
constexpr double kLeastSpread = 1e-6;

// Sums of products of [z, 1, y], y being the MLP's input.
struct Moments {
  HostMatrix inputs;   // [d + 1][d + 1]
  HostMatrix crossed;  // [d + 1][d]
  HostMatrix outputs;  // [d][d]
  double tokens = 0;
};

void add(const HostMatrix& part, HostMatrix& sum) {
  if (sum.values.empty()) sum = HostMatrix(part.rows, part.cols);
  for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += part.values[i];
}

// Rows [first, first + count) of a BF16 matrix as columns.
HostMatrix columns_of(const std::uint16_t* rows, std::size_t count, std::size_t width, bool ones) {
  HostMatrix out(width + (ones ? 1 : 0), count);
  for (std::size_t t = 0; t < count; ++t)
    for (std::size_t i = 0; i < width; ++i) out.row(i)[t] = bf16_to_float(rows[t * width + i]);
  if (ones) std::fill_n(out.row(width), count, 1.0F);
  return out;
}

Moments gather_moments(const RegressionStart& args, Backend& backend) {
  const auto width = static_cast<std::size_t>(args.set.input);
  const auto tokens =
      std::min(static_cast<std::int64_t>(args.mlp_inputs.size() / width), args.set.trained());
  Moments moments;
  moments.tokens = static_cast<double>(tokens);
  for (std::int64_t done = 0; done < tokens; done += kAtOnce) {
    const auto count = static_cast<std::size_t>(std::min(kAtOnce, tokens - done));
    const HostMatrix z = columns_of(args.set.input_row(done), count, width, true);
    const HostMatrix y = columns_of(args.mlp_inputs.data() + static_cast<std::size_t>(done) * width,
                                    count, width, false);
    add(multiply_transposed(z, z, backend), moments.inputs);
    add(multiply_transposed(z, y, backend), moments.crossed);
    add(multiply_transposed(y, y, backend), moments.outputs);
  }
  return moments;
}

double dot(const float* a, const float* b, std::size_t size) {
  return std::inner_product(a, a + size, b, 0.0);
}

// The inputs' covariance.
HostMatrix covariance(const Moments& moments) {
  const std::size_t d = moments.inputs.rows - 1;
  HostMatrix out(d, d);
  const float* sums = moments.inputs.row(d);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j < d; ++j)
      out.row(i)[j] = static_cast<float>(
          (static_cast<double>(moments.inputs.row(i)[j]) -
           static_cast<double>(sums[i]) * static_cast<double>(sums[j]) / moments.tokens) /
          moments.tokens);
  return out;
}

// Each row's variance in the metric `gram`: diag(rows gram rows^T).
std::vector<double> variances(const HostMatrix& rows, const HostMatrix& gram, Backend& backend) {
  const HostMatrix moved = multiply_transposed(rows, gram, backend);
  std::vector<double> out(rows.rows);
  for (std::size_t r = 0; r < rows.rows; ++r)
    out[r] = std::max(dot(rows.row(r), moved.row(r), rows.cols), 0.0);
  return out;
}

// A map from predictor inputs to pre-activations.
struct Forecast {
  HostMatrix map;                  // [units][d]
  std::vector<double> bias;        // [units]
  std::vector<double> unforeseen;  // [units]: variance of what it misses
};

Forecast forecast(const RegressionStart& args, const Moments& moments, Backend& backend) {
  const std::size_t d = moments.inputs.rows - 1;
  double trace = 0;
  for (std::size_t i = 0; i < d; ++i) trace += static_cast<double>(moments.inputs.row(i)[i]);
  const HostMatrix between =
      solve_ridge(moments.inputs, moments.crossed, kRidge * trace / static_cast<double>(d));
  // What of the MLP's input is not foreseen: its second moments less the explained ones.
  HostMatrix rest = multiply_transposed(between, transposed(moments.crossed), backend);
  for (std::size_t i = 0; i < rest.values.size(); ++i)
    rest.values[i] = static_cast<float>(
        (static_cast<double>(moments.outputs.values[i]) - static_cast<double>(rest.values[i])) /
        moments.tokens);
  const HostMatrix& weight = args.projection.weight;
  const HostMatrix whole = multiply_transposed(weight, transposed(between), backend);
  Forecast out;
  out.map = HostMatrix(weight.rows, d);
  out.unforeseen = variances(weight, rest, backend);
  for (std::size_t u = 0; u < weight.rows; ++u) {
    std::copy_n(whole.row(u), d, out.map.row(u));
    out.bias.push_back(static_cast<double>(whole.row(u)[d]) +
                       static_cast<double>(args.projection.bias[u]));
  }
  return out;
}

void scale_rows(const std::vector<double>& by, HostMatrix& matrix) {
  for (std::size_t r = 0; r < matrix.rows; ++r)
    for (std::size_t c = 0; c < matrix.cols; ++c)
      matrix.row(r)[c] = static_cast<float>(static_cast<double>(matrix.row(r)[c]) * by[r]);
}

std::vector<double> inverse_roots(const std::vector<double>& squares) {
  std::vector<double> out;
  const double most = squares.empty() ? 0 : *std::max_element(squares.begin(), squares.end());
  for (const double square : squares)
    out.push_back(1 / std::sqrt(std::max({square, kLeastSpread * most, 1e-30})));
  return out;
}

TrainedPredictor reduce(const Forecast& full, const Moments& moments, int rank, Backend& backend) {
  const HostMatrix spread = covariance(moments);
  const std::vector<double> importance = inverse_roots(full.unforeseen);
  HostMatrix weighted = full.map;
  scale_rows(importance, weighted);
  LowRankMap low = reduce_rank(weighted, spread, rank, backend);
  std::vector<double> undo;
  for (const double value : importance) undo.push_back(1 / value);
  scale_rows(undo, low.up);
  // The bottleneck's outputs get a spread of one.
  const std::vector<double> shrink = inverse_roots(variances(low.down, spread, backend));
  scale_rows(shrink, low.down);
  for (std::size_t u = 0; u < low.up.rows; ++u)
    for (std::size_t r = 0; r < low.up.cols; ++r)
      low.up.row(u)[r] = static_cast<float>(static_cast<double>(low.up.row(u)[r]) / shrink[r]);

  HostMatrix lost = multiply_transposed(low.up, transposed(low.down), backend);  // [units][d]
  for (std::size_t i = 0; i < lost.values.size(); ++i)
    lost.values[i] = full.map.values[i] - lost.values[i];
  std::vector<double> unforeseen = variances(lost, spread, backend);
  for (std::size_t u = 0; u < unforeseen.size(); ++u) unforeseen[u] += full.unforeseen[u];
  const std::vector<double> to_score = inverse_roots(unforeseen);
  std::vector<float> bias;
  const float* sums = moments.inputs.row(moments.inputs.rows - 1);
  for (std::size_t u = 0; u < lost.rows; ++u) {
    const double missing = dot(lost.row(u), sums, lost.cols) / moments.tokens;
    bias.push_back(static_cast<float>((full.bias[u] + missing) * to_score[u] * kLogitScale));
  }
  scale_rows(to_score, low.up);
  for (float& value : low.up.values) value *= static_cast<float>(kLogitScale);
  return {static_cast<int>(low.down.cols), static_cast<int>(low.down.rows),
          static_cast<int>(low.up.rows),   std::move(low.down.values),
          std::move(low.up.values),        std::move(bias)};
}

}  // namespace

TrainedPredictor regression_start(const RegressionStart& args, Backend& backend) {
  const Moments moments = gather_moments(args, backend);
  return reduce(forecast(args, moments, backend), moments, args.rank, backend);
}

}  // namespace dejavu
