// Result<T>: a value or an Error. Expected failures are values, never exceptions.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "engine/core/error.h"

namespace dejavu {

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string param = {},
                                  std::string reason = {}) {
  return tl::unexpected<Error>(
      Error{code, std::move(message), std::move(param), std::move(reason)});
}

inline tl::unexpected<Error> invalid(std::string message, std::string param = {},
                                     std::string reason = {}) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(param), std::move(reason));
}

}  // namespace dejavu
