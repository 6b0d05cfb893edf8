#include "engine/model/safetensors.h"

#include <catch2/catch.hpp>
#include <random>

#include "tests/support/tensor_file.h"

namespace dejavu {
namespace {

std::vector<std::byte> bytes_of(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 37);
  return bytes;
}

StoredTensors small_tensors() {
  return {{"a", {"F32", {2, 3}, bytes_of(24)}},
          {"b", {"BF16", {4}, bytes_of(8)}},
          {"empty", {"F16", {0, 7}, {}}},
          {"ids", {"I64", {1, 1, 1}, bytes_of(8)}},
          {"scalar", {"U8", {}, bytes_of(1)}}};
}

// Parses a copy in a block of exactly its size, so that a sanitizer sees a read past the end.
Result<SafetensorsHeader> parse_exact(const std::vector<std::byte>& file) {
  return parse_safetensors(file, "x.safetensors");
}

bool inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

TEST_CASE("A valid safetensors file gives every tensor") {
  for (const std::size_t padding : {0U, 1U, 2U, 7U}) {
    const auto tensors = small_tensors();
    const auto file = make_safetensors(tensors, padding);
    const auto header = parse_exact(file);
    REQUIRE(header);
    REQUIRE(header->size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
      const SafetensorsEntry& entry = header->find(name)->second;
      CHECK(entry.dtype == tensor.dtype);
      CHECK(entry.shape == tensor.shape);
      CHECK(
          std::equal(entry.data.begin(), entry.data.end(), tensor.data.begin(), tensor.data.end()));
    }
  }
  CHECK(parse_exact(raw_safetensors(R"({"__metadata__":{"format":"pt"}})", 0)));
}

TEST_CASE("A safetensors file cut at any length is refused") {
  const auto file = make_safetensors(small_tensors());
  for (std::size_t length = 0; length < file.size(); ++length) {
    const auto header =
        parse_exact({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)});
    REQUIRE_FALSE(header);
    CHECK(header.error().message.starts_with("x.safetensors: "));
  }
}

TEST_CASE("Flipped bits never lead outside the file") {
  const auto file = make_safetensors(small_tensors());
  const std::size_t header_end = file.size() - 41;
  std::mt19937 random(1);
  const auto check = [](const std::vector<std::byte>& changed) {
    const auto header = parse_exact(changed);
    if (!header) return;
    for (const auto& [name, entry] : *header) REQUIRE(inside(entry.data, changed));
  };
  for (std::size_t bit = 0; bit < 8 * header_end; ++bit) {
    auto changed = file;
    changed[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    check(changed);
  }
  for (int round = 0; round < 20000; ++round) {
    auto changed = file;
    for (int i = 0; i < 3; ++i)
      changed[random() % header_end] = static_cast<std::byte>(random() & 0xff);
    check(changed);
  }
}

TEST_CASE("Wrong headers are refused and the tensor named") {
  struct Wrong {
    std::string header;
    std::size_t data_bytes;
    std::string message;
  };
  const std::string t = R"({"w":{"dtype":"F32","shape":)";
  const Wrong table[] = {
      {"", 0, "not valid JSON"},
      {"[]", 0, "not a JSON object"},
      {"7", 0, "not a JSON object"},
      {"{}x", 0, "not valid JSON"},
      {R"({"w":1})", 0, "unexpected a number at key 'w'"},
      {R"({"w":{"dtype":"F32"}})", 4, "'w' has no shape"},
      {R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4, "'w' has no dtype"},
      {R"({"w":{"dtype":"F32","shape":[1]}})", 4, "'w' has no data_offsets"},
      {t + R"([1],"data_offsets":[0]}})", 4, "'w' has no data_offsets"},
      {t + R"([1],"data_offsets":[0,4,8]}})", 4, "'w' has no data_offsets"},
      {t + R"([1],"data_offsets":[0,4],"x":1}})", 4, "an unknown key"},
      {t + R"([1],"shape":[1],"data_offsets":[0,4]}})", 4, "the key twice"},
      {t + R"([[1]],"data_offsets":[0,4]}})", 4, "'w': unexpected a list"},
      {t + R"([{}],"data_offsets":[0,4]}})", 4, "'w': unexpected an object"},
      {t + R"([-1],"data_offsets":[0,4]}})", 4, "'w': unexpected a negative number"},
      {t + R"([1.5],"data_offsets":[0,4]}})", 4, "'w': unexpected a fraction"},
      {t + R"(null,"data_offsets":[0,4]}})", 4, "'w': unexpected null"},
      {t + R"([18446744073709551616],"data_offsets":[0,4]}})", 4, "'w': unexpected a fraction"},
      {t + R"([4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "'w' has a shape whose size over"},
      {t + R"([18446744073709551615],"data_offsets":[0,4]}})", 4,
       "'w' has a shape whose size over"},
      {t + R"([4611686018427387904],"data_offsets":[0,0]}})", 0, "'w' has a shape whose size over"},
      {t + R"([1],"data_offsets":[4,0]}})", 4, "outside the file's 4 data bytes"},
      {t + R"([1],"data_offsets":[0,8]}})", 4, "outside the file's 4 data bytes"},
      {t + R"([1],"data_offsets":[18446744073709551612,4]}})", 4, "outside the file"},
      {t + R"([2],"data_offsets":[0,4]}})", 4,
       "'w' has 4 bytes, but its shape and dtype F32 need 8"},
      {R"({"w":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}})", 1, "'w' has unknown dtype 'Q4'"},
      {t + R"([2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "'v' at data bytes [4, 12) overlaps tensor 'w' at [0, 8)"},
      // Both directions of one tensor given the other's place: a hole is left before or after.
      {t + R"([1],"data_offsets":[4,8]},"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "'w' at data bytes [4, 8) overlaps tensor 'v' at [4, 8)"},
      {t + R"([1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8,
       "'w' at data bytes [0, 4) overlaps tensor 'v' at [0, 4)"},
      {t + R"([1],"data_offsets":[4,8]},"v":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)" +
           R"("u":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
       16, "'u' at data bytes [12, 16) overlaps tensor 'v' at [8, 16)"},
      {t + R"([1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "'w' appears twice"},
      {R"({"__metadata__":{"a":{}}})", 0, "unexpected an object"},
      {std::string(100000, '['), 0, "not a JSON object"},
      {R"({"a)" + std::string(1, '\xff') + R"(":1})", 0, "not valid JSON"},
  };
  for (const Wrong& wrong : table) {
    INFO(wrong.header.substr(0, 100));
    const auto header = parse_exact(raw_safetensors(wrong.header, wrong.data_bytes));
    REQUIRE_FALSE(header);
    INFO(header.error().message);
    CHECK(header.error().message.starts_with("x.safetensors: "));
    CHECK(header.error().message.find(wrong.message) != std::string::npos);
  }
}

TEST_CASE("Data bytes that belong to no tensor are found wherever they are") {
  struct Case {
    std::string first, second;  // data_offsets
    std::size_t data_bytes;
    std::string message;  // empty: no hole
  };
  const Case table[] = {
      {"[0,4]", "[4,8]", 8, ""},
      {"[4,8]", "[0,4]", 8, ""},
      {"[4,8]", "[8,12]", 12, "[0, 4) before 'w'"},
      {"[0,4]", "[8,12]", 12, "[4, 8) before 'v'"},
      {"[0,4]", "[4,8]", 9, "[8, 9) at the end"},
  };
  for (const Case& c : table) {
    const auto file =
        raw_safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":)" + c.first +
                            R"(},"v":{"dtype":"F32","shape":[1],"data_offsets":)" + c.second + "}}",
                        c.data_bytes);
    const auto header = parse_exact(file);
    REQUIRE(header);
    const Status covered = check_no_hole(*header, file, "x.safetensors");
    CHECK(covered.has_value() == c.message.empty());
    if (!covered)
      CHECK(covered.error().message ==
            "x.safetensors: no tensor covers the data bytes " + c.message);
  }
}

}  // namespace
}  // namespace dejavu
