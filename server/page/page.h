// The files of the page at /, compiled in by CMake.
#pragma once

#include <optional>
#include <string_view>

namespace dejavu {

struct PageFile {
  std::string_view content_type;
  std::string_view text;
};

// "index.html", "main.js" …
std::optional<PageFile> find_page_file(std::string_view name);

}  // namespace dejavu
