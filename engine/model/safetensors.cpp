#include "engine/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "engine/model/json_text.h"

namespace dejavu {
namespace {

using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::size_t kHighestRank = 16;
constexpr std::string_view kMetadata = "__metadata__";

// 0: unknown.
std::uint64_t element_bytes(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::uint64_t> kSizes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  for (const auto& [name, size] : kSizes)
    if (name == dtype) return size;
  return 0;
}

struct RawEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// Accepts exactly {"tensor": {"dtype": s, "shape": [n…], "data_offsets": [n, n]}, "__metadata__":
// {s: s}} and stops at the first other event: nothing nests deeper, no value is kept that has no
// place.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  std::vector<RawEntry>& entries() { return entries_; }
  const std::string& error() const { return error_; }

  bool null() override { return refuse("null"); }
  bool boolean(bool /*value*/) override { return refuse("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override { return refuse("a negative number"); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return refuse("a fraction or too large a number");
  }
  bool binary(binary_t& /*value*/) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (list_ == nullptr) return refuse("a number");
    if (list_->size() == kHighestRank) return refuse("too long a list");
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) return true;
    if (depth_ != 2 || key_ != "dtype") return refuse("a string");
    entries_.back().dtype = value;
    return true;
  }

  bool start_object(std::size_t /*count*/) override {
    if (depth_ == 2 || list_ != nullptr) return refuse("an object");
    ++depth_;
    return true;
  }

  bool end_object() override {
    --depth_;
    return true;
  }

  bool key(string_t& value) override {
    key_ = value;
    if (depth_ == 1) {
      in_metadata_ = value == kMetadata;
      if (!in_metadata_) entries_.push_back({value, {}, {}, {}});
      return true;
    }
    if (in_metadata_) return true;
    const RawEntry& entry = entries_.back();
    const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
    const bool repeated = (value == "dtype" && entry.dtype) || (value == "shape" && entry.shape) ||
                          (value == "data_offsets" && entry.offsets);
    return known && !repeated ? true : refuse(repeated ? "the key twice" : "an unknown key");
  }

  bool start_array(std::size_t /*count*/) override {
    if (depth_ != 2 || in_metadata_ || list_ != nullptr || key_ == "dtype") return refuse("a list");
    auto& list = key_ == "shape" ? entries_.back().shape : entries_.back().offsets;
    list_ = &list.emplace();
    return true;
  }

  bool end_array() override {
    list_ = nullptr;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    if (error_.empty())
      error_ = "the header is not valid JSON (byte " + std::to_string(position) + ")";
    return false;
  }

 private:
  bool refuse(std::string_view found) {
    if (depth_ == 0) {
      error_ = "the header is not a JSON object";
    } else {
      const bool inside = depth_ == 2 && !in_metadata_;
      error_ = inside ? "tensor " + printable(entries_.back().name) + ": " : "the header: ";
      error_ += "unexpected " + std::string(found) + " at key " + printable(key_);
    }
    return false;
  }

  std::vector<RawEntry> entries_;
  std::string error_;
  std::string key_;
  int depth_ = 0;  // 1 in the header, 2 in a tensor or the metadata
  bool in_metadata_ = false;
  std::vector<std::uint64_t>* list_ = nullptr;  // the list being read
};

struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string_view tensor;
};

std::string range_text(std::uint64_t begin, std::uint64_t end) {
  return "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
}

// An error text, or none: dtype, shape and offsets of one tensor agree and lie inside the data.
std::optional<std::string> check_entry(const RawEntry& raw, std::uint64_t data_size) {
  if (!raw.dtype) return "has no dtype";
  if (!raw.shape) return "has no shape";
  if (!raw.offsets || raw.offsets->size() != 2) return "has no data_offsets [begin, end]";
  std::uint64_t bytes = element_bytes(*raw.dtype);
  if (bytes == 0) return "has unknown dtype " + printable(*raw.dtype);
  for (const std::uint64_t size : *raw.shape) {
    const bool fits = size <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!fits || __builtin_mul_overflow(bytes, size, &bytes))
      return "has a shape whose size overflows";
  }
  const std::uint64_t begin = (*raw.offsets)[0];
  const std::uint64_t end = (*raw.offsets)[1];
  if (begin > end || end > data_size)
    return "has data_offsets " + range_text(begin, end) + ", outside the file's " +
           std::to_string(data_size) + " data bytes (is the file truncated?)";
  if (end - begin != bytes)
    return "has " + std::to_string(end - begin) + " bytes, but its shape and dtype " + *raw.dtype +
           " need " + std::to_string(bytes);
  return {};
}

void sort_by_place(std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.begin, a.end, a.tensor) < std::tie(b.begin, b.end, b.tensor);
  });
}

// An error text, or none: no two extents share a byte.
std::optional<std::string> check_overlap(std::vector<Extent> extents) {
  sort_by_place(extents);
  for (std::size_t i = 1; i < extents.size(); ++i) {
    const Extent& before = extents[i - 1];
    const Extent& extent = extents[i];
    if (extent.begin < before.end)
      return "tensor " + printable(extent.tensor) + " at data bytes " +
             range_text(extent.begin, extent.end) + " overlaps tensor " + printable(before.tensor) +
             " at " + range_text(before.begin, before.end);
  }
  return {};
}

// Where the data of the last tensor ends.
std::uint64_t stated_data_size(const std::vector<RawEntry>& entries) {
  std::uint64_t size = 0;
  for (const RawEntry& entry : entries) {
    if (entry.offsets && entry.offsets->size() == 2) size = std::max(size, entry.offsets->back());
  }
  return size;
}

// What the first bytes say; `file` holds them.
std::uint64_t header_length(std::span<const std::byte> file) {
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  return length;
}

Result<std::vector<RawEntry>> read_header(std::span<const std::byte> header,
                                          std::string_view name) {
  HeaderReader reader;
  const char* text = reinterpret_cast<const char*>(header.data());
  if (!json::sax_parse(text, text + header.size(), &reader))
    return invalid(std::string(name) + ": " + reader.error());
  return std::move(reader.entries());
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view name,
                                            SafetensorsPart part) {
  const auto refuse = [name](const std::string& message) {
    return invalid(std::string(name) + ": " + message);
  };
  if (file.size() < kLengthBytes) return refuse("too short for a safetensors file");
  const std::uint64_t header_size = header_length(file);
  if (header_size > kLongestHeader || header_size > file.size() - kLengthBytes)
    return refuse("header length " + std::to_string(header_size) + " exceeds the file of " +
                  std::to_string(file.size()) + " bytes or the limit of 100 MB");

  auto raw = read_header(file.subspan(kLengthBytes, header_size), name);
  if (!raw) return tl::unexpected(raw.error());
  const std::span<const std::byte> data = file.subspan(kLengthBytes + header_size);
  const bool whole = part == SafetensorsPart::kWhole;
  const std::uint64_t data_size = whole ? data.size() : stated_data_size(*raw);
  SafetensorsHeader header;
  std::vector<Extent> extents;
  for (const RawEntry& entry : *raw) {
    if (const auto fault = check_entry(entry, data_size))
      return refuse("tensor " + printable(entry.name) + " " + *fault);
    const std::uint64_t begin = (*entry.offsets)[0];
    const std::uint64_t end = (*entry.offsets)[1];
    extents.push_back({begin, end, entry.name});
    const bool added =
        header
            .emplace(entry.name, SafetensorsEntry{*entry.dtype,
                                                  {entry.shape->begin(), entry.shape->end()},
                                                  whole ? data.subspan(begin, end - begin)
                                                        : std::span<const std::byte>()})
            .second;
    if (!added) return refuse("tensor " + printable(entry.name) + " appears twice");
  }
  if (const auto fault = check_overlap(std::move(extents))) return refuse(*fault);
  return header;
}

Status check_no_hole(const SafetensorsHeader& header, std::span<const std::byte> file,
                     std::string_view name) {
  const std::span<const std::byte> data = file.subspan(kLengthBytes + header_length(file));
  std::vector<Extent> extents;
  for (const auto& [tensor, entry] : header) {
    const auto begin = static_cast<std::uint64_t>(entry.data.data() - data.data());
    extents.push_back({begin, begin + entry.data.size(), tensor});
  }
  extents.push_back({data.size(), data.size(), {}});
  sort_by_place(extents);
  std::uint64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin > covered)
      return invalid(
          std::string(name) + ": no tensor covers the data bytes " +
          range_text(covered, extent.begin) +
          (extent.tensor.empty() ? " at the end" : " before " + printable(extent.tensor)));
    covered = extent.end;
  }
  return {};
}

}  // namespace dejavu
