#include "sparsity/corpus.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "engine/model/mapped_file.h"

namespace dejavu {
namespace {

constexpr std::size_t kShortestWindow = 2;  // one token to read, one to foresee

struct Line {
  bool is_object = false;
  std::optional<std::string> text;  // its field "text"
};

Line parse_line(std::string_view line) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return {};
  const auto text = object.find("text");
  if (text == object.end() || !text->is_string()) return {true, {}};
  return {true, text->get<std::string>()};
}

}  // namespace

Result<std::vector<std::string>> read_documents(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  std::string_view rest = file->text();
  std::vector<std::string> documents;
  std::size_t without_text = 0;  // the first line that is none with a text; 0: all are
  bool json_lines = path.extension() == ".jsonl";
  bool objects_only = true;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Line parsed = parse_line(line);
    if (parsed.text && without_text == 0) {
      documents.push_back(*std::move(parsed.text));
      json_lines = true;
    } else if (without_text == 0) {
      without_text = number;
    }
    objects_only = objects_only && parsed.is_object;
    if (without_text != 0 && (json_lines || !objects_only)) break;
  }
  if (documents.empty() && without_text == 0) return invalid(path.string() + ": holds no text");
  if (without_text == 0) return documents;
  if (!json_lines && !objects_only) return std::vector<std::string>{std::string(file->text())};
  return invalid(path.string() + ": line " + std::to_string(without_text) +
                 " is not a JSON object with a text in \"text\", as every line of JSON Lines must "
                 "be");
}

std::vector<TokenWindow> make_windows(std::span<const std::string> documents,
                                      const Tokenizer& tokenizer, std::int32_t begin,
                                      const CorpusOptions& options) {
  const auto length = static_cast<std::size_t>(options.window);
  std::vector<TokenWindow> windows;
  TokenWindow open;
  std::int64_t taken = 0;
  const auto full = [&] { return options.max_tokens > 0 && taken >= options.max_tokens; };
  for (const std::string& document : documents) {
    std::vector<std::int32_t> ids = tokenizer.encode(document, /*add_special_tokens=*/false);
    if (begin >= 0 && (ids.empty() || ids.front() != begin)) ids.insert(ids.begin(), begin);
    for (const std::int32_t id : ids) {
      if (full()) return windows;
      open.push_back(id);
      if (open.size() < length) continue;
      taken += static_cast<std::int64_t>(length);
      windows.push_back(std::exchange(open, {}));
    }
  }
  if (!full() && open.size() >= kShortestWindow) windows.push_back(std::move(open));
  return windows;
}

std::int64_t token_count(std::span<const TokenWindow> windows) {
  std::int64_t count = 0;
  for (const TokenWindow& window : windows) count += static_cast<std::int64_t>(window.size());
  return count;
}

}  // namespace dejavu
