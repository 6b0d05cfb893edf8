// Logging options, filled in by config/.
#pragma once

#include <string>

namespace dejavu {

struct LogOptions {
  std::string format = "text";  // text, json
  std::string level = "info";   // trace, debug, info, warn, error, off
};

}  // namespace dejavu
