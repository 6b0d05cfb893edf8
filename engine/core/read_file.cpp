#include "engine/core/read_file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace dejavu {

Result<std::string> read_file(const std::filesystem::path& path) {
  const auto failure = [&path] {
    return invalid(path.string() + ": " + std::generic_category().message(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) return failure();
  std::string text;
  std::array<char, 1 << 16> block{};
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), file.get()))
    text.append(block.data(), count);
  if (std::ferror(file.get()) != 0) return failure();
  return text;
}

}  // namespace dejavu
