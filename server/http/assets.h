// Texts compiled in by CMake.
#pragma once

namespace dejavu {

const char* openapi_json();
const char* version();  // of the project, e.g. "0.1.0"

}  // namespace dejavu
