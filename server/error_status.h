// What an error code is called and which HTTP status it maps to (design, section 7).
#pragma once

#include <string_view>

#include "engine/core/error.h"

namespace dejavu {

std::string_view error_code_name(ErrorCode code);  // "invalid_argument", …
int http_status(ErrorCode code);

}  // namespace dejavu
