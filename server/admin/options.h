// Log settings, filled in by config/.
#pragma once

#include <string>

namespace dejavu {

struct LogOptions {
  bool json = false;           // one JSON object a line instead of text
  std::string level = "info";  // trace, debug, info, warning, error
};

}  // namespace dejavu
