#include "tests/text/golden_texts.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace dejavu::golden {
namespace {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  std::uint64_t below(std::uint64_t limit) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % limit;
  }

 private:
  std::uint64_t state_;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::filesystem::path folder() {
  return std::filesystem::path(DEJAVU_SOURCE_DIR) / "tests" / "text" / "goldens";
}

std::filesystem::path tokenizer_file(const std::string& name) {
  if (name == "demo") {
    return std::filesystem::path(DEJAVU_SOURCE_DIR) / "models" / "demo" / "tokenizer.json";
  }
  return folder() / (name + ".tokenizer.json");
}

std::vector<std::string> read_fragments() {
  return nlohmann::json::parse(read_file(folder() / "fragments.json"))
      .get<std::vector<std::string>>();
}

std::string compose(std::uint64_t index, const std::vector<std::string>& fragments) {
  SplitMix64 numbers(index);
  const std::uint64_t count = 1 + numbers.below(12);
  std::string text;
  for (std::uint64_t i = 0; i < count; ++i) text += fragments[numbers.below(fragments.size())];
  return text;
}

std::vector<std::int32_t> id_sequence(std::uint64_t index, int vocab_size) {
  SplitMix64 numbers(index);
  std::vector<std::int32_t> ids(1 + numbers.below(24));
  for (std::int32_t& id : ids) {
    id = static_cast<std::int32_t>(numbers.below(static_cast<std::uint64_t>(vocab_size)));
  }
  return ids;
}

std::vector<std::uint32_t> read_hashes(const std::string& file) {
  const std::string bytes = read_file(folder() / file);
  std::vector<std::uint32_t> hashes(bytes.size() / sizeof(std::uint32_t));
  std::memcpy(hashes.data(), bytes.data(), hashes.size() * sizeof(std::uint32_t));
  return hashes;
}

std::uint32_t hash_bytes(std::string_view bytes) {
  std::uint32_t value = 0x811c9dc5;
  for (const char byte : bytes) value = (value ^ static_cast<std::uint8_t>(byte)) * 0x01000193;
  return value;
}

std::uint32_t hash_ids(std::span<const std::int32_t> ids) {
  return hash_bytes({reinterpret_cast<const char*>(ids.data()), ids.size_bytes()});
}

}  // namespace dejavu::golden
