#include "sparsity/corpus.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "engine/model/mapped_file.h"

namespace dejavu {
namespace {

constexpr std::size_t kShortestWindow = 2;  // one token to read, one to foresee

// The line's field "text"; nothing when it is no object with one.
std::optional<std::string> text_of(std::string_view line) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  const auto text = object.is_object() ? object.find("text") : object.end();
  if (!object.is_object() || text == object.end() || !text->is_string()) return {};
  return text->get<std::string>();
}

}  // namespace

Result<std::vector<std::string>> read_documents(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  std::string_view rest = file->text();
  std::vector<std::string> documents;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::optional<std::string> text = text_of(line);
    if (text) {
      documents.push_back(std::move(*text));
    } else if (documents.empty()) {
      return std::vector<std::string>{std::string(file->text())};
    } else {
      return invalid(path.string() + ": line " + std::to_string(number) +
                     " is not a JSON object with a text in \"text\", as the lines before are");
    }
  }
  if (documents.empty()) return invalid(path.string() + ": holds no text");
  return documents;
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
