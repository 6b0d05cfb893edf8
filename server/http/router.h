// Paths and methods.
#pragma once

#include <string>
#include <string_view>

namespace dejavu {

enum class Endpoint {
  kCompletions,
  kChat,
  kModels,
  kModel,
  kTokenize,
  kDetokenize,
  kApplyTemplate,
  kSparsity,
  kVersion,
  kHealth,
  kReady,
  kMetrics,
  kOpenApi,
  kLive,
  kPage,
};

struct Route {
  Endpoint endpoint = Endpoint::kPage;
  bool post = false;  // POST, otherwise GET and HEAD
  bool needs_no_key = false;
  std::string name;  // in the path: kModel's id, kPage's file

  const char* allow() const { return post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"; }
  bool allows(std::string_view method) const {
    return post ? method == "POST" : method == "GET" || method == "HEAD";
  }
};

inline bool generates(const Route& route) {
  return route.endpoint == Endpoint::kCompletions || route.endpoint == Endpoint::kChat;
}

// False when nothing is served at `path`. The prefix /v1 is optional everywhere, and so is a
// slash at the end.
bool find_route(std::string_view path, Route& route);

}  // namespace dejavu
