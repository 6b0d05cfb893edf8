#include "sparsity/calibration/quantize.h"

#include <algorithm>
#include <cmath>

namespace dejavu {
namespace {

constexpr float kLargest = 127;

void quantize_rows(const std::vector<float>& from, std::size_t width, std::vector<std::int8_t>& to,
                   std::vector<float>& scales) {
  to.resize(from.size());
  scales.clear();
  for (std::size_t at = 0; at < from.size(); at += width) {
    float most = 0;
    for (std::size_t i = 0; i < width; ++i) most = std::max(most, std::abs(from[at + i]));
    const float scale = most > 0 ? most / kLargest : 1;
    for (std::size_t i = 0; i < width; ++i)
      to[at + i] = static_cast<std::int8_t>(std::lround(from[at + i] / scale));
    scales.push_back(scale);
  }
}

std::vector<float> dequantize_rows(const std::vector<std::int8_t>& from,
                                   const std::vector<float>& scales) {
  std::vector<float> to(from.size());
  const std::size_t width = scales.empty() ? 1 : from.size() / scales.size();
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = static_cast<float>(from[i]) * scales[i / width];
  return to;
}

}  // namespace

PredictorWeights quantize(const TrainedPredictor& predictor) {
  PredictorWeights weights;
  weights.input = predictor.input;
  weights.rank = predictor.rank;
  weights.units = predictor.units;
  if (!predictor.down.empty())
    quantize_rows(predictor.down, static_cast<std::size_t>(predictor.input), weights.down,
                  weights.down_scale);
  quantize_rows(predictor.up, static_cast<std::size_t>(predictor.rank), weights.up,
                weights.up_scale);
  weights.bias = predictor.bias;
  return weights;
}

TrainedPredictor dequantize(const PredictorWeights& weights) {
  return {weights.input,
          weights.rank,
          weights.units,
          dequantize_rows(weights.down, weights.down_scale),
          dequantize_rows(weights.up, weights.up_scale),
          weights.bias};
}

}  // namespace dejavu
