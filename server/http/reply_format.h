// Turns a call's deltas into OpenAI reply bodies: whole, or as server-sent events. One per call,
// one thread.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "server/generation_service.h"
#include "server/http/parse_generate.h"

namespace dejavu {

class ReplyFormat {
 public:
  struct Head {
    std::string request_id;
    std::string model;
    std::string system_fingerprint;
    std::int64_t created = 0;  // Unix seconds
  };

  static std::unique_ptr<ReplyFormat> make(const GenerateBody& body, Head head);
  virtual ~ReplyFormat() = default;

  // The events of one delta, framed; "" when it shows nothing. The last choice's last event is
  // held back for the timings that finish() knows.
  std::string event(const TextDelta& delta);
  // What ends a stream: the held event, the usage event when asked for, and [DONE].
  std::string finish(const CallSummary& summary);
  static std::string error_event(const Error& error);

  // The whole reply, from one finished delta a choice.
  std::string body(std::vector<TextDelta> choices, const CallSummary& summary) const;

 protected:
  using Json = nlohmann::ordered_json;

  struct Names {
    const char* id_prefix;
    const char* object;
    const char* chunk_object;
  };

  ReplyFormat(const GenerateBody& body, Head head, Names names);

  // A choice's text and log-probabilities as the API shapes them.
  virtual Json whole_choice(const TextDelta& delta) const = 0;
  virtual Json chunk_choice(const TextDelta& delta) const = 0;
  // What precedes a choice's first chunk; null for nothing.
  virtual Json opening_choice(int index) const = 0;
  // prompt_logprobs belong to the choice or to the reply.
  virtual bool prompt_logprobs_in_choice() const = 0;

 private:
  Json envelope(const char* object) const;
  void add_prompt_logprobs(Json& reply, Json& choice, const TextDelta& delta) const;
  Json chunk(Json choices, const Usage& usage) const;

  Head head_;
  Names names_;
  bool include_usage_;
  bool continuous_usage_;
  bool show_prompt_logprobs_;
  bool sparsity_per_chunk_;
  std::vector<bool> opened_;  // by choice
  std::size_t unfinished_;
  Json held_;
};

}  // namespace dejavu
