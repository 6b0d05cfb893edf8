#include "server/cli/json_file.h"

#include <fstream>

namespace dejavu {

Status write_json_file(const std::string& path, const nlohmann::ordered_json& value) {
  if (path.empty()) return {};
  std::ofstream out(path);
  out << value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  out.close();
  if (!out) return invalid("--json: cannot write " + path, "json");
  return {};
}

}  // namespace dejavu
