#include "server/http/reply_format.h"

#include <algorithm>
#include <utility>

#include "server/http/error_body.h"
#include "server/http/logprobs_json.h"
#include "server/http/sparsity_json.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string frame(const std::string& data) { return "data: " + data + "\n\n"; }

ordered_json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// The rates of the `tokens` that took `milliseconds`.
void add_rates(ordered_json& json, const std::string& phase, int tokens, double milliseconds) {
  json[phase + "_ms"] = milliseconds;
  json[phase + "_per_token_ms"] = tokens > 0 ? milliseconds / tokens : 0.0;
  json[phase + "_per_second"] = milliseconds > 0 ? 1e3 / milliseconds * tokens : 0.0;
}

ordered_json timings_json(const CallSummary& summary) {
  ordered_json json = {{"cache_n", summary.usage.cached_tokens}};
  const Timings& timings = summary.timings;
  json["prompt_n"] = timings.prompt_n;
  add_rates(json, "prompt", timings.prompt_n, timings.prompt_ms);
  json["predicted_n"] = timings.predicted_n;
  add_rates(json, "predicted", timings.timed_n, timings.predicted_ms);
  return json;
}

ordered_json finish_reason_json(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return nullptr;
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "abort";
    case FinishReason::kError:
      break;
  }
  return "error";
}

ordered_json stop_reason_json(const TextDelta& delta) {
  if (const auto* id = std::get_if<std::int32_t>(&delta.stop_reason)) return *id;
  if (const auto* text = std::get_if<std::string>(&delta.stop_reason)) return *text;
  return nullptr;
}

void add_finish(ordered_json& choice, const TextDelta& delta) {
  choice["finish_reason"] = finish_reason_json(delta.finish);
  choice["stop_reason"] = stop_reason_json(delta);
}

}  // namespace

ReplyFormat::ReplyFormat(const GenerateBody& body, Head head, Names names)
    : head_(std::move(head)),
      names_(names),
      include_usage_(body.include_usage),
      continuous_usage_(body.continuous_usage),
      show_prompt_logprobs_(body.request.sampling.prompt_logprobs.has_value()),
      sparsity_per_chunk_(body.request.sparsity.per_chunk),
      unfinished_(body.request.prompts.size() * static_cast<std::size_t>(body.request.n)) {
  opened_.resize(unfinished_);
}

ordered_json ReplyFormat::envelope(const char* object) const {
  return {{"id", names_.id_prefix + head_.request_id},
          {"object", object},
          {"created", head_.created},
          {"model", head_.model},
          {"system_fingerprint", head_.system_fingerprint},
          {"choices", Json::array()}};
}

void ReplyFormat::add_prompt_logprobs(Json& reply, Json& choice, const TextDelta& delta) const {
  if (!show_prompt_logprobs_ || delta.prompt_logprobs.empty()) return;
  (prompt_logprobs_in_choice() ? choice : reply)["prompt_logprobs"] =
      prompt_logprobs_json(delta.prompt_logprobs);
}

ordered_json ReplyFormat::chunk(Json choices, const Usage& usage) const {
  Json json = envelope(names_.chunk_object);
  json["choices"] = std::move(choices);
  if (include_usage_) json["usage"] = continuous_usage_ ? usage_json(usage) : Json();
  return json;
}

std::string ReplyFormat::event(const TextDelta& delta) {
  std::string out;
  const auto index = static_cast<std::size_t>(delta.choice);
  const bool first = !opened_[index];
  if (first) {
    opened_[index] = true;
    if (Json opening = opening_choice(delta.choice); !opening.is_null()) {
      add_finish(opening, TextDelta{});
      out = frame(dump(chunk(Json::array({std::move(opening)}), delta.usage)));
    }
  }
  const bool finished = delta.finish != FinishReason::kNone;
  const bool shows_something = finished || !delta.text.empty() || !delta.logprobs.empty() ||
                               !delta.prompt_logprobs.empty() || continuous_usage_ ||
                               sparsity_per_chunk_;
  if (!shows_something) return out;

  Json choice = chunk_choice(delta);
  add_finish(choice, delta);
  Json json = chunk(Json::array(), delta.usage);
  add_prompt_logprobs(json, choice, delta);
  json["choices"].push_back(std::move(choice));
  if (delta.sparsity) json["sparsity"] = sparsity_json(*delta.sparsity);
  if (finished && --unfinished_ == 0)
    held_ = std::move(json);
  else
    out += frame(dump(json));
  return out;
}

std::string ReplyFormat::finish(const CallSummary& summary) {
  std::string out;
  if (include_usage_) {
    if (!held_.is_null()) out += frame(dump(held_));
    held_ = envelope(names_.chunk_object);
    held_["usage"] = usage_json(summary.usage);
  }
  if (!held_.is_null()) {
    held_["timings"] = timings_json(summary);
    ordered_json total = sparsity_json(summary.sparsity);
    // The last token's own figures keep a place beside the whole reply's.
    if (held_.contains("sparsity")) total["chunk"] = std::move(held_["sparsity"]);
    held_["sparsity"] = std::move(total);
    out += frame(dump(held_));
  }
  return out + "data: [DONE]\n\n";
}

std::string ReplyFormat::error_event(const Error& error) {
  return "event: error\n" + frame(error_body(error));
}

std::string ReplyFormat::body(std::vector<TextDelta> choices, const CallSummary& summary) const {
  std::sort(choices.begin(), choices.end(),
            [](const TextDelta& a, const TextDelta& b) { return a.choice < b.choice; });
  Json json = envelope(names_.object);
  for (const TextDelta& delta : choices) {
    Json choice = whole_choice(delta);
    add_finish(choice, delta);
    add_prompt_logprobs(json, choice, delta);
    json["choices"].push_back(std::move(choice));
  }
  json["usage"] = usage_json(summary.usage);
  json["timings"] = timings_json(summary);
  json["sparsity"] = sparsity_json(summary.sparsity);
  return dump(json);
}

}  // namespace dejavu
