#include "server/load/sse_reader.h"

namespace dejavu {

std::vector<std::string> SseReader::feed(std::string_view bytes) {
  std::vector<std::string> payloads;
  pending_ += bytes;
  std::size_t start = 0;
  for (std::size_t end; (end = pending_.find('\n', start)) != std::string::npos; start = end + 1) {
    std::string_view line = std::string_view(pending_).substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    payloads.emplace_back(line);
  }
  pending_.erase(0, start);
  return payloads;
}

}  // namespace dejavu
