#include "server/http/api.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "engine/text/utf8.h"
#include "server/http/assets.h"
#include "server/http/error_body.h"
#include "server/http/fields.h"
#include "server/http/json_body.h"
#include "server/http/parse_prompt.h"
#include "server/http/parse_sampling.h"
#include "server/http/sparsity_json.h"
#include "server/liveness.h"
#include "server/page/page.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

HttpResponse json_response(const ordered_json& json) {
  HttpResponse response;
  response.body = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return response;
}

ordered_json card_json(const ModelCard& card) {
  return {{"id", card.id},
          {"object", "model"},
          {"created", card.created},
          {"owned_by", "dejavu"},
          {"root", card.root},
          {"parent", nullptr},
          {"max_model_len", card.max_model_len}};
}

// Nothing but the page's own files and its calls to this server.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

HttpResponse unavailable(const char* status, const Error& error) {
  HttpResponse response = error_response(error);
  ordered_json body = ordered_json::parse(response.body);
  body["status"] = status;
  response.body = body.dump();
  return response;
}

// As llama.cpp shows a token: its text, or its bytes where they are no whole characters.
ordered_json piece_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  ordered_json values = ordered_json::array();
  for (const char c : bytes) values.push_back(static_cast<std::uint8_t>(c));
  return values;
}

// vLLM's body (prompt or messages) or llama.cpp's (content).
Result<TokenizeRequest> parse_tokenize(Fields& fields) {
  TokenizeRequest request;
  request.model = fields.text("model").value_or("");
  if (fields.any("messages") != nullptr) {
    request.prompt = parse_chat_prompt(fields);
    refuse_unserved(fields);
    if (fields.boolean("add_special_tokens").value_or(false))
      fields.refuse("add_special_tokens",
                    "is not supported for chat: the template alone makes the "
                    "prompt");
  } else if (auto content = fields.text("content")) {
    request.prompt = std::move(*content);
    request.add_special_tokens = fields.boolean("add_special").value_or(false);
  } else {
    auto prompt = fields.text("prompt");
    if (!prompt) fields.refuse("prompt", "is missing: send prompt, messages or content");
    request.prompt = std::move(prompt).value_or("");
    request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  }
  if (!fields.ok()) return tl::unexpected(fields.error());
  return request;
}

}  // namespace

HttpResponse Api::handle(const Route& route, const HttpRequest& request) const {
  switch (route.endpoint) {
    case Endpoint::kModels:
      return models();
    case Endpoint::kModel:
      return model(route.name);
    case Endpoint::kTokenize:
      return tokenize(request.body);
    case Endpoint::kDetokenize:
      return detokenize(request.body);
    case Endpoint::kApplyTemplate:
      return apply_template(request.body);
    case Endpoint::kSparsity:
      return sparsity();
    case Endpoint::kVersion:
      return json_response({{"version", version()}});
    case Endpoint::kHealth:
      return health();
    case Endpoint::kReady:
      return ready();
    case Endpoint::kMetrics:
      return {200, Metrics::content_type(), metrics_.expose(), {}};
    case Endpoint::kOpenApi:
      return {200, "application/json", openapi_json(), {}};
    case Endpoint::kLive:
      return {200, "application/json", *live_.latest().json, {{"Vary", "Accept"}}};
    case Endpoint::kPage:
      return page(route, request);
    case Endpoint::kCompletions:
    case Endpoint::kChat:
      break;
  }
  return error_response(
      Error{ErrorCode::kInternal, "No handler for " + request.path + ".", {}, {}});
}

HttpResponse Api::models() const {
  ordered_json cards = ordered_json::array();
  for (const ModelCard& card : service_.models()) cards.push_back(card_json(card));
  return json_response({{"object", "list"}, {"data", std::move(cards)}});
}

HttpResponse Api::model(const std::string& id) const {
  for (const ModelCard& card : service_.models())
    if (card.id == id) return json_response(card_json(card));
  return error_response(Error{ErrorCode::kNotFound,
                              "The model `" + id +
                                  "` does not exist. GET /v1/models lists what is "
                                  "served.",
                              "model", "model_not_found"});
}

HttpResponse Api::tokenize(const std::string& body) const {
  const auto json = parse_json_object(body);
  if (!json) return error_response(json.error());
  Fields fields(*json);
  const auto request = parse_tokenize(fields);
  if (!request) return error_response(request.error());
  const bool with_strings = fields.boolean("return_token_strs").value_or(false);
  const bool with_pieces = fields.boolean("with_pieces").value_or(false);
  if (!fields.ok()) return error_response(fields.error());
  const auto ids = service_.tokenize(*request);
  if (!ids) return error_response(ids.error());

  ordered_json tokens = ordered_json::array();
  ordered_json strings = ordered_json::array();
  for (const std::int32_t id : *ids) {
    if (with_pieces)
      tokens.push_back({{"id", id}, {"piece", piece_json(service_.token_bytes(id))}});
    else
      tokens.push_back(id);
    if (with_strings) strings.push_back(service_.token_text(id));
  }
  ordered_json reply = {{"count", ids->size()},
                        {"max_model_len", service_.max_model_len()},
                        {"tokens", std::move(tokens)}};
  if (with_strings) reply["token_strs"] = std::move(strings);
  return json_response(reply);
}

HttpResponse Api::detokenize(const std::string& body) const {
  const auto json = parse_json_object(body);
  if (!json) return error_response(json.error());
  Fields fields(*json);
  const std::string model = fields.text("model").value_or("");
  const std::vector<std::int32_t> ids = fields.token_ids("tokens");
  if (fields.any("tokens") == nullptr) fields.refuse("tokens", "is missing");
  if (!fields.ok()) return error_response(fields.error());
  const auto text = service_.detokenize(model, ids);
  if (!text) return error_response(text.error());
  return json_response({{"prompt", *text}, {"content", *text}});
}

HttpResponse Api::apply_template(const std::string& body) const {
  const auto json = parse_json_object(body);
  if (!json) return error_response(json.error());
  Fields fields(*json);
  const std::string model = fields.text("model").value_or("");
  const ChatPrompt chat = parse_chat_prompt(fields);
  refuse_unserved(fields);
  if (!fields.ok()) return error_response(fields.error());
  const auto prompt = service_.apply_template(model, chat);
  if (!prompt) return error_response(prompt.error());
  return json_response({{"prompt", *prompt}});
}

HttpResponse Api::sparsity() const {
  const auto status = service_.sparsity_status();
  if (!status) return error_response(status.error());
  return json_response(sparsity_status_json(*status));
}

// Liveness: fails only when a restart would help, never because the server is loading or busy.
HttpResponse Api::health() const {
  if (service_.state() == ServiceState::kFailed)
    return unavailable("failed", check_ready(ServiceState::kFailed).error());
  if (engine_hangs(service_.engine_stats()))
    return unavailable("hung", {ErrorCode::kUnavailable,
                                "the engine has work and finished no step for a minute",
                                {},
                                "engine_hung"});
  return json_response({{"status", "ok"}});
}

HttpResponse Api::ready() const {
  const ServiceState state = service_.state();
  if (const Status ready = check_ready(state); !ready) {
    return unavailable(state_name(state), ready.error());
  }
  return json_response({{"status", "ready"}});
}

HttpResponse Api::page(const Route& route, const HttpRequest& request) const {
  const auto file = find_page_file(route.name);
  if (!file) return nothing_served(request);
  HttpResponse response{200, std::string(file->content_type), std::string(file->text), {}};
  response.headers = {{"Cache-Control", "no-cache"},
                      {"Content-Security-Policy", kPagePolicy},
                      {"Referrer-Policy", "no-referrer"},
                      {"X-Content-Type-Options", "nosniff"}};
  return response;
}

}  // namespace dejavu
