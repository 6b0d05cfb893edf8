#include "engine/core/read_file.h"

#include <catch2/catch.hpp>
#include <fstream>

using namespace dejavu;

TEST_CASE("a file is read whole, whatever it holds") {
  const auto path = std::filesystem::temp_directory_path() / "dejavu-read-file-test";
  for (const std::string& text :
       {std::string(), std::string("a\0\r\nb\xff", 6), std::string(200'000, 'x')}) {
    std::ofstream(path, std::ios::binary) << text;
    const auto read = read_file(path);
    REQUIRE(read);
    CHECK(*read == text);
  }
  std::filesystem::remove(path);
  const auto gone = read_file(path);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().message == path.string() + ": No such file or directory");
}

TEST_CASE("a directory is no file") {
  const auto read = read_file(std::filesystem::temp_directory_path());
  REQUIRE_FALSE(read);
  CHECK(read.error().message.ends_with(": Is a directory"));
}
