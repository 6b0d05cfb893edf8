#include "server/http/parse_generate.h"

#include <utility>

#include "server/http/fields.h"
#include "server/http/parse_prompt.h"
#include "server/http/parse_sampling.h"

namespace dejavu {
namespace {

using nlohmann::ordered_json;

constexpr IntRange kInt32{std::numeric_limits<std::int32_t>::min(),
                          std::numeric_limits<std::int32_t>::max()};
constexpr IntRange kTruncation{-1, std::numeric_limits<std::int32_t>::max()};
constexpr IntRange kPositive{1};
// The service's own limit on n is lower; this one keeps prompts × n within 64 bits.
constexpr IntRange kChoices{1, 1 << 20};

std::optional<int> small(std::optional<std::int64_t> value) {
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

void parse_stream(Fields& fields, GenerateBody& body) {
  body.request.stream = fields.boolean("stream").value_or(false);
  const ordered_json* options = fields.object("stream_options");
  if (options == nullptr) return;
  if (!body.request.stream) {
    fields.refuse("stream_options", "is allowed only together with \"stream\": true");
    return;
  }
  Fields stream(*options, "stream_options.");
  body.include_usage = stream.boolean("include_usage").value_or(false);
  body.continuous_usage =
      stream.boolean("continuous_usage_stats").value_or(false) && body.include_usage;
  if (!stream.ok()) fields.refuse(stream.error());
}

// `sparsity`: which modes and levels there are, only the model knows.
SparsityFields parse_sparsity(Fields& fields) {
  SparsityFields sparsity;
  const ordered_json* object = fields.object("sparsity");
  if (object == nullptr) return sparsity;
  Fields inner(*object, "sparsity.");
  for (const auto& [key, value] : object->items()) {
    if (key != "mode" && key != "target_recall" && key != "per_chunk" && key != "per_layer")
      inner.refuse(key, "is not known: sparsity has mode, target_recall, per_chunk and per_layer");
  }
  const ordered_json* mode = inner.any("mode");
  if (mode != nullptr && !mode->is_string())
    inner.refuse("mode", "must be one of auto, dense, exact, threshold, lookahead");
  const ordered_json* recall = inner.any("target_recall");
  if (recall != nullptr && !recall->is_number())
    inner.refuse("target_recall", "must be a number: GET /v1/sparsity lists the levels");
  sparsity.per_layer = inner.boolean("per_layer").value_or(false);
  sparsity.per_chunk = inner.boolean("per_chunk").value_or(false) || sparsity.per_layer;
  if (!inner.ok()) {
    fields.refuse(inner.error());
    return sparsity;
  }
  if (mode != nullptr) sparsity.wish.mode = mode->get<std::string>();
  if (recall != nullptr) sparsity.wish.target_recall = recall->get<double>();
  return sparsity;
}

// What both APIs have in common.
GenerateBody parse_common(Fields& fields) {
  GenerateBody body;
  GenerateRequest& request = body.request;
  request.model = fields.text("model").value_or("");
  request.n = small(fields.integer("n", kChoices)).value_or(1);
  const auto best_of = fields.integer("best_of", kChoices);
  if (best_of && *best_of != request.n)
    fields.refuse("best_of", "is not supported by this server: leave it out or set it to n");
  request.sampling = parse_sampling(fields);
  request.sampling.prompt_logprobs = small(fields.integer("prompt_logprobs", kLogprobCounts));
  request.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  request.truncate_prompt_tokens = small(fields.integer("truncate_prompt_tokens", kTruncation));
  request.cache_salt = fields.text("cache_salt").value_or("");
  request.priority = small(fields.integer("priority", kInt32)).value_or(0);
  request.timeout_ms = fields.integer("timeout_ms", kPositive);
  request.sparsity = parse_sparsity(fields);
  parse_stream(fields, body);
  refuse_unserved(fields);
  return body;
}

Result<GenerateBody> finish(const Fields& fields, GenerateBody body) {
  if (!fields.ok()) return tl::unexpected(fields.error());
  return body;
}

}  // namespace

Result<GenerateBody> parse_completion(const ordered_json& json) {
  Fields fields(json);
  GenerateBody body = parse_common(fields);
  body.request.api = "completions";
  body.request.prompts = parse_prompts(fields);
  body.request.echo = fields.boolean("echo").value_or(false);
  body.request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  body.request.sampling.logprobs = small(fields.integer("logprobs", kLogprobCounts));
  return finish(fields, std::move(body));
}

Result<GenerateBody> parse_chat(const ordered_json& json) {
  Fields fields(json);
  GenerateBody body = parse_common(fields);
  body.chat = true;
  body.request.api = "chat";
  body.request.prompts.emplace_back(parse_chat_prompt(fields));
  body.request.to_context_end = true;
  const bool logprobs = fields.boolean("logprobs").value_or(false);
  const auto alternatives = fields.integer("top_logprobs", kLogprobCounts);
  if (alternatives.value_or(0) > 0 && !logprobs)
    fields.refuse("top_logprobs", "is allowed only together with \"logprobs\": true");
  if (logprobs) body.request.sampling.logprobs = small(alternatives).value_or(0);
  for (const char* name : {"echo", "add_special_tokens"})
    if (fields.boolean(name).value_or(false))
      fields.refuse(name, "is not supported for chat: the template alone makes the prompt");
  return finish(fields, std::move(body));
}

}  // namespace dejavu
