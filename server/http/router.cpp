#include "server/http/router.h"

namespace dejavu {
namespace {

struct Entry {
  std::string_view path;
  Endpoint endpoint;
  bool post;
  bool needs_no_key;
};

constexpr Entry kEntries[] = {
    {"/completions", Endpoint::kCompletions, true, false},
    {"/chat/completions", Endpoint::kChat, true, false},
    {"/models", Endpoint::kModels, false, false},
    {"/tokenize", Endpoint::kTokenize, true, false},
    {"/detokenize", Endpoint::kDetokenize, true, false},
    {"/apply-template", Endpoint::kApplyTemplate, true, false},
    {"/sparsity", Endpoint::kSparsity, false, false},
    {"/version", Endpoint::kVersion, false, true},
    {"/health", Endpoint::kHealth, false, true},
    {"/ready", Endpoint::kReady, false, true},
    {"/metrics", Endpoint::kMetrics, false, true},
    {"/openapi.json", Endpoint::kOpenApi, false, false},
    {"/live", Endpoint::kLive, false, false},
};

// The page needs no key: its calls do.
Route page(std::string_view file) { return {Endpoint::kPage, false, true, std::string(file)}; }

// What follows `folder` in the path; empty when it lies elsewhere.
std::string_view within(std::string_view folder, std::string_view path) {
  return path.starts_with(folder) ? path.substr(folder.size()) : std::string_view();
}

}  // namespace

bool find_route(std::string_view path, Route& route) {
  constexpr std::string_view kPrefix = "/v1";
  if (path.starts_with("/v1/")) path.remove_prefix(kPrefix.size());
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  for (const Entry& entry : kEntries) {
    if (entry.path != path) continue;
    route = {entry.endpoint, entry.post, entry.needs_no_key, {}};
    return true;
  }
  if (path == "/") {
    route = page("index.html");
  } else if (const auto file = within("/assets/", path); !file.empty()) {
    route = page(file);
  } else if (const auto id = within("/models/", path); !id.empty()) {
    route = {Endpoint::kModel, false, false, std::string(id)};
  } else {
    return false;
  }
  return true;
}

}  // namespace dejavu
