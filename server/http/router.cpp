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
    {"/", Endpoint::kIndex, false, false},
};

}  // namespace

bool find_route(std::string_view path, Route& route) {
  constexpr std::string_view kPrefix = "/v1";
  constexpr std::string_view kModelPath = "/models/";
  if (path.starts_with("/v1/")) path.remove_prefix(kPrefix.size());
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  for (const Entry& entry : kEntries) {
    if (entry.path != path) continue;
    route = {entry.endpoint, entry.post, entry.needs_no_key, {}};
    return true;
  }
  if (!path.starts_with(kModelPath) || path.size() == kModelPath.size()) return false;
  route = {Endpoint::kModel, false, false, std::string(path.substr(kModelPath.size()))};
  return true;
}

}  // namespace dejavu
