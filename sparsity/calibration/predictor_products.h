// The matrix products of a predictor and of its gradient, in BF16 on the backend.
#pragma once

#include <span>
#include <vector>

#include "engine/core/result.h"
#include "sparsity/calibration/training_set.h"

namespace dejavu {

// Buffers for batches of at most `batch` tokens. Host in, host out.
class PredictorProducts {
 public:
  static Result<PredictorProducts> create(const TrainedPredictor& shape, int batch,
                                          Backend& backend);

  void set_weights(const TrainedPredictor& predictor);
  // inputs: BF16 [tokens][input]. Scores without the bias: [tokens][units].
  std::span<const float> forward(std::span<const std::uint16_t> inputs);

  // For the inputs of the last forward(): `slope` BF16 [tokens][units] and the same transposed are
  // the loss's derivative by each score.
  struct Gradient {
    std::span<const float> down;  // [rank][input]; empty: none
    std::span<const float> up;    // [units][rank]
  };
  Gradient backward(std::span<const std::uint16_t> slope,
                    std::span<const std::uint16_t> slope_transposed);

 private:
  enum Part {
    kInputs,
    kDown,
    kUp,
    kLow,
    kScores,
    kSlope,
    kSlopeTurned,
    kLowSlope,
    kLowSlopeTurned,
    kDownGradient,
    kUpGradient,
    kParts
  };
  PredictorProducts(int input, int rank, int units, bool bottleneck, Backend& backend)
      : input_(input), rank_(rank), units_(units), bottleneck_(bottleneck), backend_(&backend) {}
  Matrix matrix(Part part, DType dtype, std::int64_t rows, std::int64_t cols) const;
  void upload_half(Part part, std::span<const float> values);
  void download(Part part, std::vector<float>& values, std::int64_t count);
  void turn(Part to, std::span<const float> from, std::int64_t cols);

  int input_, rank_, units_;
  bool bottleneck_;
  Backend* backend_;
  std::int64_t tokens_ = 0;
  std::vector<Buffer> parts_;
  std::vector<float> scores_, low_slope_, down_gradient_, up_gradient_;
};

}  // namespace dejavu
