// Cuts a stream of server-sent events into the payloads of its data lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

class SseReader {
 public:
  // The payloads that `bytes` completes.
  std::vector<std::string> feed(std::string_view bytes);

 private:
  std::string pending_;
};

}  // namespace dejavu
