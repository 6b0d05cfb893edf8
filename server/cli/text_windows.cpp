#include "server/cli/text_windows.h"

#include <unistd.h>

#include <cstdio>

#include "engine/text/tokenizer.h"

namespace dejavu {

Result<std::vector<TokenWindow>> read_windows(const TextOptions& options,
                                              const ModelLocation& location, int default_tokens) {
  if (options.files.empty())
    return invalid("--text: name a file of plain text, or of JSON Lines with a field \"text\"",
                   "text");
  const auto tokenizer = Tokenizer::from_file(location.directory / "tokenizer.json");
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  std::vector<std::string> documents;
  for (const std::string& file : options.files) {
    auto more = read_documents(file);
    if (!more) return tl::unexpected(more.error());
    documents.insert(documents.end(), more->begin(), more->end());
  }
  const std::vector<std::int32_t> empty = (*tokenizer)->encode("", /*add_special_tokens=*/true);
  const int limit = options.max_tokens > 0 ? options.max_tokens : default_tokens;
  auto windows = make_windows(documents, **tokenizer, empty.empty() ? -1 : empty.front(),
                              {kTextWindow, limit});
  if (windows.empty()) return invalid("--text: too short: give at least two tokens", "text");
  return windows;
}

std::string describe_windows(std::span<const TokenWindow> windows, int max_tokens) {
  const auto tokens = static_cast<std::size_t>(token_count(windows));
  return std::to_string(windows.size()) + " windows of " + std::to_string(kTextWindow) +
         " tokens, each from position 0; " + std::to_string(tokens) + " tokens (--max-tokens " +
         std::to_string(max_tokens) + "), " + std::to_string(tokens - windows.size()) +
         " predicted";
}

StepProgress::StepProgress(std::string label)
    : label_(std::move(label)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

void StepProgress::update(int done, int total) {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  const double left = done > 0 ? passed.count() / done * (total - done) : 0;
  std::string rest;
  if (done > 0 && done < total)
    rest = left < 90 ? ", about " + std::to_string(static_cast<int>(left)) + " s left"
                     : ", about " + std::to_string(static_cast<int>(left / 60 + 0.5)) + " min left";
  std::fprintf(stderr, "%s%s: %d of %d%s%s", terminal_ ? "\r\033[K" : "", label_.c_str(), done,
               total, rest.c_str(), terminal_ && done < total ? "" : "\n");
}

}  // namespace dejavu
