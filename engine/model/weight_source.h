// Where weights come from: a checkpoint on disk or a random generator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/tensor_view.h"

namespace dejavu {

// A tensor as the model expects it: rank 1 or 2.
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;

  std::int64_t rows() const { return shape.size() == 1 ? 1 : shape[0]; }
  std::int64_t cols() const { return shape.back(); }
};

// Rows [begin, begin + out.rows) of a tensor, or of its transpose; `out` is host memory.
struct TensorSlice {
  bool transposed = false;
  std::int64_t begin = 0;
  Matrix out;
};

class WeightSource {
 public:
  WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;
  virtual ~WeightSource() = default;

  // Bytes stored for the tensor; fails, naming it, when it is missing, has another shape or a
  // dtype that is no float.
  virtual Result<std::size_t> check(const TensorSpec& spec) const = 0;
  // When every tensor needed has passed check(): what else is wrong with the source.
  virtual Status check_rest() const { return {}; }
  // Around the reads of a tensor, for sources that hold it outside memory.
  virtual void begin(const TensorSpec& /*spec*/) const {}
  virtual void end(const TensorSpec& /*spec*/) const {}
  // Reads and converts to out.dtype. Any thread; `spec` has passed check().
  virtual void read(const TensorSpec& spec, const TensorSlice& slice) const = 0;
};

}  // namespace dejavu
