#include "engine/model/workspace.h"

#include <utility>

namespace dejavu {

Result<Workspace> Workspace::create(const ModelConfig& config, const WorkspaceShape& shape,
                                    Backend& backend) {
  const std::int64_t q = static_cast<std::int64_t>(config.heads) * config.head_dim;
  const std::int64_t kv = static_cast<std::int64_t>(config.kv_heads) * config.head_dim;
  const bool projected = config.embedding_size != config.hidden_size;
  const std::int64_t tokens = shape.max_tokens;
  const std::int64_t rows = shape.max_logit_rows;

  Workspace workspace;
  struct Part {
    Matrix& matrix;
    DType dtype;
    std::int64_t rows;
    std::int64_t cols;
  };
  const Part parts[] = {
      {workspace.residual, DType::kF32, tokens, config.hidden_size},
      {workspace.normed, shape.dtype, tokens, config.hidden_size},
      {workspace.qkv, DType::kF32, tokens, q + 2 * kv},
      {workspace.context, shape.dtype, tokens, q},
      {workspace.hidden, shape.dtype, tokens, config.ffn_size},
      {workspace.gathered, DType::kF32, rows, config.hidden_size},
      {workspace.final, shape.dtype, rows, config.hidden_size},
      {workspace.embedded, shape.dtype, projected ? rows : 0, config.embedding_size},
      {workspace.logits, DType::kF32, rows, config.vocab_size},
  };
  for (const Part& part : parts) {
    if (part.rows == 0) continue;
    auto buffer =
        backend.allocate(static_cast<std::size_t>(part.rows * part.cols) * dtype_size(part.dtype));
    if (!buffer) return tl::unexpected(buffer.error());
    part.matrix = {buffer->data(), part.dtype, part.rows, part.cols, part.cols};
    workspace.storage.push_back(std::move(*buffer));
  }
  return workspace;
}

}  // namespace dejavu
