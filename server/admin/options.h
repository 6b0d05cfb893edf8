<<<<<<< HEAD
// Log settings, filled in by config/.
=======
// Logging options, filled in by config/.
>>>>>>> fae8bc1 (Service and metrics: first cut)
#pragma once

#include <string>

namespace dejavu {

struct LogOptions {
<<<<<<< HEAD
  bool json = false;           // one JSON object a line instead of text
  std::string level = "info";  // trace, debug, info, warning, error
=======
  std::string format = "text";  // text, json
  std::string level = "info";   // trace, debug, info, warn, error, off
>>>>>>> fae8bc1 (Service and metrics: first cut)
};

}  // namespace dejavu
