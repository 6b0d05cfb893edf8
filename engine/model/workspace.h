// Activations of one step in backend memory, allocated once for the largest step. T tokens, R rows
// that need logits.
#pragma once

#include <vector>

#include "engine/backend/backend.h"
#include "engine/model/model_config.h"

namespace dejavu {

struct WorkspaceShape {
  DType dtype = DType::kF32;  // compute dtype
  int max_tokens = 0;
  int max_logit_rows = 0;
};

struct Workspace {
  static Result<Workspace> create(const ModelConfig& config, const WorkspaceShape& shape,
                                  Backend& backend);

  Matrix residual;  // F32 [T][d]
  Matrix normed;    // compute dtype [T][d]: what a block reads
  Matrix qkv;       // F32 [T][H*D + 2*G*D]
  Matrix context;   // compute dtype [T][H*D]: attention's output
  Matrix hidden;    // compute dtype [T][ffn]
  Matrix gathered;  // F32 [R][d]
  Matrix final;     // compute dtype [R][d]
  Matrix embedded;  // compute dtype [R][embedding]; null data: no projection
  Matrix logits;    // F32 [R][vocab]
  std::vector<Buffer> storage;
};

// The first `rows` rows of a matrix.
inline Matrix first_rows(const Matrix& matrix, std::int64_t rows) {
  return {matrix.data, matrix.dtype, rows, matrix.cols, matrix.stride};
}

// Columns [begin, begin + cols) of a matrix.
inline Matrix columns(const Matrix& matrix, std::int64_t begin, std::int64_t cols) {
  auto* data = static_cast<std::byte*>(matrix.data) +
               static_cast<std::size_t>(begin) * dtype_size(matrix.dtype);
  return {data, matrix.dtype, matrix.rows, cols, matrix.stride};
}

}  // namespace dejavu
