#include "engine/backend/cuda/errors.h"

#include <string_view>
#include <utility>

namespace dejavu::cuda {

std::string describe(cudaError_t code, const std::source_location& where) {
  const std::string_view path = where.file_name();
  const std::string_view file = path.substr(path.rfind('/') + 1);
  return std::string(cudaGetErrorString(code)) + " (" + cudaGetErrorName(code) + ") at " +
         std::string(file) + ":" + std::to_string(where.line());
}

bool Errors::check(cudaError_t code, std::source_location where) {
  if (code == cudaSuccess) return true;
  fail(describe(code, where));
  return false;
}

void Errors::fail(std::string message) {
  if (!first_) first_ = Error{ErrorCode::kInternal, "CUDA: " + std::move(message), {}, {}};
}

Status Errors::status() const {
  if (first_) return tl::unexpected(*first_);
  return {};
}

}  // namespace dejavu::cuda
