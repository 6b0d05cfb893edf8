// The two ways in which the hub names a file's content: SHA-256 for large files, git's blob id for
// the others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace dejavu {

class ContentHash {
 public:
  // `expected`: 64 hex digits for SHA-256, 40 for a git blob of `size` bytes.
  ContentHash(const std::string& expected, std::uint64_t size);
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;

  void add(std::string_view bytes);
  // Once, at the end.
  bool matches();

 private:
  struct Context;
  std::string expected_;
  std::unique_ptr<Context> context_;
};

}  // namespace dejavu
