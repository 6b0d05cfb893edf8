#include "sparsity/calibration/predictor_products.h"

#include <algorithm>

namespace dejavu {

Result<PredictorProducts> PredictorProducts::create(const TrainedPredictor& shape, int batch,
                                                    Backend& backend) {
  const bool bottleneck = !shape.down.empty();
  PredictorProducts made(shape.input, shape.rank, shape.units, bottleneck, backend);
  const auto elements = [&](Part part) -> std::size_t {
    const std::size_t in = static_cast<std::size_t>(shape.input);
    const std::size_t rank = static_cast<std::size_t>(shape.rank);
    const std::size_t units = static_cast<std::size_t>(shape.units);
    const std::size_t tokens = static_cast<std::size_t>(batch);
    switch (part) {
      case kInputs:
        return tokens * in;
      case kDown:
      case kDownGradient:
        return rank * in;
      case kUp:
      case kUpGradient:
        return units * rank;
      case kScores:
      case kSlope:
      case kSlopeTurned:
        return tokens * units;
      default:
        return tokens * rank;
    }
  };
  for (int part = 0; part < kParts; ++part) {
    auto buffer = backend.allocate(elements(static_cast<Part>(part)) * sizeof(float));
    if (!buffer) return tl::unexpected(buffer.error());
    made.parts_.push_back(std::move(*buffer));
  }
  return made;
}

Matrix PredictorProducts::matrix(Part part, DType dtype, std::int64_t rows,
                                 std::int64_t cols) const {
  return {parts_[static_cast<std::size_t>(part)].data(), dtype, rows, cols, cols};
}

void PredictorProducts::upload_half(Part part, std::span<const float> values) {
  std::vector<std::uint16_t> half(values.size());
  std::transform(values.begin(), values.end(), half.begin(), float_to_bf16);
  backend_->upload(parts_[static_cast<std::size_t>(part)].data(), half.data(),
                   half.size() * sizeof(std::uint16_t), StreamId::kMain);
  static_cast<void>(backend_->synchronize(StreamId::kMain));
}

void PredictorProducts::download(Part part, std::vector<float>& values, std::int64_t count) {
  values.resize(static_cast<std::size_t>(count));
  backend_->download(values.data(), parts_[static_cast<std::size_t>(part)].data(),
                     values.size() * sizeof(float), StreamId::kMain);
  static_cast<void>(backend_->synchronize(StreamId::kMain));
}

// Uploads the transpose of `from` [rows][cols].
void PredictorProducts::turn(Part to, std::span<const float> from, std::int64_t cols) {
  const auto width = static_cast<std::size_t>(cols);
  const std::size_t rows = from.size() / width;
  std::vector<float> turned(from.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < width; ++c) turned[c * rows + r] = from[r * width + c];
  upload_half(to, turned);
}

void PredictorProducts::set_weights(const TrainedPredictor& predictor) {
  if (bottleneck_) upload_half(kDown, predictor.down);
  upload_half(kUp, predictor.up);
}

std::span<const float> PredictorProducts::forward(std::span<const std::uint16_t> inputs) {
  tokens_ = static_cast<std::int64_t>(inputs.size()) / input_;
  backend_->upload(parts_[kInputs].data(), inputs.data(), inputs.size_bytes(), StreamId::kMain);
  const Matrix x = matrix(kInputs, DType::kBF16, tokens_, input_);
  Matrix low = x;
  if (bottleneck_) {
    low = matrix(kLow, DType::kBF16, tokens_, rank_);
    backend_->linear({x, matrix(kDown, DType::kBF16, rank_, input_), nullptr, low, {}, 0},
                     StreamId::kMain);
  }
  backend_->linear({low,
                    matrix(kUp, DType::kBF16, units_, rank_),
                    nullptr,
                    matrix(kScores, DType::kF32, tokens_, units_),
                    {},
                    0},
                   StreamId::kMain);
  download(kScores, scores_, tokens_ * units_);
  return scores_;
}

PredictorProducts::Gradient PredictorProducts::backward(
    std::span<const std::uint16_t> slope, std::span<const std::uint16_t> slope_transposed) {
  backend_->upload(parts_[kSlopeTurned].data(), slope_transposed.data(),
                   slope_transposed.size_bytes(), StreamId::kMain);
  // up: slope^T low
  const Matrix low = bottleneck_ ? matrix(kLow, DType::kBF16, tokens_, rank_)
                                 : matrix(kInputs, DType::kBF16, tokens_, rank_);
  ProjectArgs up;
  up.x = matrix(kSlopeTurned, DType::kBF16, units_, tokens_);
  up.w = low;
  up.y = matrix(kUpGradient, DType::kF32, units_, rank_);
  backend_->project(up, StreamId::kMain);
  download(kUpGradient, up_gradient_, std::int64_t{units_} * rank_);
  if (!bottleneck_) return {{}, up_gradient_};
  // down: (slope up)^T x
  backend_->upload(parts_[kSlope].data(), slope.data(), slope.size_bytes(), StreamId::kMain);
  ProjectArgs back;
  back.x = matrix(kSlope, DType::kBF16, tokens_, units_);
  back.w = matrix(kUp, DType::kBF16, units_, rank_);
  back.y = matrix(kLowSlope, DType::kF32, tokens_, rank_);
  backend_->project(back, StreamId::kMain);
  download(kLowSlope, low_slope_, tokens_ * rank_);
  turn(kLowSlopeTurned, low_slope_, rank_);
  ProjectArgs down;
  down.x = matrix(kLowSlopeTurned, DType::kBF16, rank_, tokens_);
  down.w = matrix(kInputs, DType::kBF16, tokens_, input_);
  down.y = matrix(kDownGradient, DType::kF32, rank_, input_);
  backend_->project(down, StreamId::kMain);
  download(kDownGradient, down_gradient_, std::int64_t{rank_} * input_);
  return {down_gradient_, up_gradient_};
}

}  // namespace dejavu
