// The one native way in: validates, applies limits and the chat template, tokenises, hands
// sequences to the engine, and turns tokens back into text. server/http and server/grpc translate
// their wire formats to and from these types and know nothing of the engine.
//
// Threads: every method may be called from any thread and returns without waiting for the engine.
// Work runs on the service pool. A call's sink is called from pool threads, one call at a time, in
// order.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/core/result.h"
#include "engine/engine.h"
#include "engine/sample/sampling_params.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "server/options.h"
#include "server/service_state.h"
#include "sparsity/control.h"

namespace dejavu {

class Metrics;

struct ChatMessage {
  std::string role;  // system, developer, user, assistant, tool
  std::string content;
  nlohmann::ordered_json extra;  // name, tool_call_id …: visible to the template as given
};

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // both true: INVALID_ARGUMENT
  nlohmann::ordered_json template_kwargs;
};

using Prompt = std::variant<std::string, std::vector<std::int32_t>, ChatPrompt>;

// Sampling fields left empty take the server's defaults (generation_config.json and its override).
struct SamplingFields {
  std::optional<float> temperature, top_p, min_p;
  std::optional<float> presence_penalty, frequency_penalty, repetition_penalty;
  std::optional<std::int64_t> top_k, max_tokens, min_tokens, seed;
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::vector<std::string> bad_words;
  std::vector<std::int32_t> allowed_token_ids;
  std::vector<std::int32_t> stop_token_ids;
  std::vector<std::string> stop;  // at most 4
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;
  std::optional<int> logprobs;         // chosen token plus that many alternatives
  std::optional<int> prompt_logprobs;  // the same for prompt tokens
};

struct SparsityFields {
  SparsityWish wish;
  bool per_chunk = false;  // each delta says how its own tokens were computed
  bool per_layer = false;  // with per_chunk: of each layer, where a delta holds one token
};

struct GenerateRequest {
  std::string request_id;  // from X-Request-Id / metadata; made when empty
  std::string trace_id;    // from traceparent
  std::string api;         // "completions", "chat", "grpc": metrics and log label
  std::string model;       // "" = the served one; another name: NOT_FOUND
  std::vector<Prompt> prompts;
  int n = 1;
  SamplingFields sampling;
  SparsityFields sparsity;
  bool to_context_end = false;  // no max_tokens: run to the end of the context (chat) instead of 16
  bool echo = false;            // completions: prompt text (and its logprobs) come first
  bool skip_special_tokens = true;
  bool add_special_tokens = true;  // text prompts only
  std::optional<int> truncate_prompt_tokens;
  std::string cache_salt;
  int priority = 0;
  std::optional<std::int64_t> timeout_ms;
  // True: on_text after every token; false: one on_text a choice, at its end.
  bool stream = false;
};

struct TokenText {
  std::int32_t token = 0;
  std::string text;   // token_bytes, lossy when not UTF-8
  std::string bytes;  // exact
  float logprob = 0;
  int rank = 0;             // among the whole vocabulary; 1 = most likely
  bool has_logprob = true;  // false for a prompt's first token
  int text_offset =
      0;  // in characters, from the start of the choice's text (prompt included on echo)
  struct Alternative {
    std::int32_t token = 0;
    std::string text;
    std::string bytes;
    float logprob = 0;
  };
  std::vector<Alternative> top;
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
};

// How generated tokens were computed; densities are means over them (TokenDensity). A first token
// comes from the prompt, which is always dense.
struct SparsityUse {
  SparsityMode mode = SparsityMode::kDense;
  double mlp_density = 1;
  double head_density = 1;
  std::shared_ptr<const TokenDetail> detail = nullptr;  // of a delta of one token, when asked for
};

struct TextDelta {
  int choice = 0;  // prompt × n + k
  std::string text;
  std::vector<std::int32_t> token_ids;
  std::vector<TokenText> logprobs;         // when asked for
  std::vector<TokenText> prompt_logprobs;  // in a choice's first delta, when asked for
  std::optional<SparsityUse> sparsity;     // of token_ids, when asked for per chunk
  FinishReason finish = FinishReason::kNone;
  std::variant<std::monostate, std::int32_t, std::string> stop_reason;  // stop id or stop string
  Usage usage;  // of the whole call so far (continuous_usage_stats)
};

// llama.cpp's `timings`.
struct Timings {
  int prompt_n = 0;
  double prompt_ms = 0;
  int predicted_n = 0;
  // From the first token to the last, and how many of predicted_n took that long: all but the first
  // of each choice.
  double predicted_ms = 0;
  int timed_n = 0;
};

struct CallSummary {
  Usage usage;
  Timings timings;
  SparsityUse sparsity;  // of every token of every choice
};

class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual void on_text(TextDelta delta) = 0;
  // Exactly one of these two ends the call; nothing follows it. An error before the first on_text
  // means nothing was generated.
  virtual void on_done(const CallSummary& summary) = 0;
  virtual void on_error(const Error& error) = 0;
};

// The caller's handle. Dropping it cancels what still runs.
class GenerationCall {
 public:
  virtual ~GenerationCall() = default;
  virtual void cancel() = 0;  // idempotent; the sink gets on_error(kCancelled)
  virtual const std::string& request_id() const = 0;
};

struct TokenizeRequest {
  std::string model;
  Prompt prompt;
  bool add_special_tokens = true;  // text only; a rendered chat is tokenised without
};

struct ModelCard {
  std::string id;    // served name
  std::string root;  // the model as it was named on the command line
  std::int64_t created = 0;
  int max_model_len = 0;
};

class GenerationService {
 public:
  struct Parts {  // what a loaded model consists of
    Engine* engine = nullptr;
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<const ChatTemplate>
        chat_template;  // null: chat is a 400 naming --chat-template
    std::string bos_token, eos_token;
    nlohmann::json generation_config;  // generation_config.json, {} when absent
    std::vector<int> eos_token_ids;    // config.json's, used when generation_config has none
    std::string model_root;
    const SparsityControl* sparsity = nullptr;  // outlives the service; null: dense only
    // Sequences admitted at once (the engine's running and waiting limits together); more are
    // refused before they are tokenised. 0: the engine alone decides.
    int max_sequences = 0;
  };

  // Not ready until attach(): every call fails with UNAVAILABLE.
  static std::unique_ptr<GenerationService> create(const ServiceOptions& options, Metrics& metrics);
  virtual ~GenerationService() = default;

  // Merges the defaults; fails on a bad --override-generation-config. State stays kLoading until
  // set_state(kReady).
  virtual Status attach(Parts parts) = 0;
  virtual void set_state(ServiceState state) = 0;
  virtual ServiceState state() const = 0;

  virtual std::shared_ptr<GenerationCall> generate(GenerateRequest request,
                                                   std::shared_ptr<GenerationSink> sink) = 0;
  // Counts and logs a request that its front refused (malformed, no API key) and that generate()
  // therefore never saw. `status`: the HTTP status it was refused with, or its equivalent.
  virtual void record_refusal(const GenerateRequest& /*request*/, ErrorCode /*code*/,
                              int /*status*/) {}
  virtual Result<std::vector<std::int32_t>> tokenize(const TokenizeRequest& request) = 0;
  virtual Result<std::string> detokenize(const std::string& model,
                                         const std::vector<std::int32_t>& ids) = 0;
  virtual Result<std::string> apply_template(const std::string& model, const ChatPrompt& chat) = 0;
  virtual std::string token_text(std::int32_t id) const = 0;   // lossy UTF-8; "" while loading
  virtual std::string token_bytes(std::int32_t id) const = 0;  // exact; "" while loading

  virtual std::vector<ModelCard> models() const = 0;
  virtual bool serves(const std::string& model) const = 0;  // "" counts
  virtual int max_model_len() const = 0;                    // 0 while loading
  // Stable for a given model, dtype and build: OpenAI's system_fingerprint.
  virtual std::string system_fingerprint() const = 0;
  virtual EngineStats engine_stats() const = 0;
  // The mode that generate() would use; its error where generate() would refuse the wish.
  virtual Result<SparsityMode> sparsity_mode(const SparsityWish& wish) const = 0;
  virtual Result<SparsityStatus> sparsity_status() const = 0;  // UNAVAILABLE while loading
  virtual int active_calls() const = 0;                        // for draining
  // The sampling defaults in force, one line, for the start-up log.
  virtual std::string describe_defaults() const = 0;
};

}  // namespace dejavu
