// Logging and metrics options, filled in by config/.
#pragma once

#include <string>

namespace dejavu {

struct LogOptions {
  std::string format = "text";  // text, json
  std::string level = "info";   // trace, debug, info, warn, error, off
};

struct MetricsOptions {
  bool compat = false;  // aliases of some figures under the names that inference gateways read
};

}  // namespace dejavu
