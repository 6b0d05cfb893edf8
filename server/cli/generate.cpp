// `dejavu generate`: continues one prompt on the terminal, through the same service as the daemon.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "engine/core/inbox.h"
#include "engine/core/read_file.h"
#include "server/admin/logging.h"
#include "server/admin/metrics.h"
#include "server/cli/commands.h"
#include "server/cli/json_file.h"
#include "server/model_stack.h"

namespace dejavu {
namespace {

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// The text itself, @FILE, or - or nothing for standard input.
Result<std::string> read_prompt(const std::string& prompt) {
  if (prompt.starts_with('@')) {
    auto text = read_file(prompt.substr(1));
    if (!text) return invalid("--prompt @" + text.error().message, "prompt");
    return without_last_newline(*std::move(text));
  }
  if (!prompt.empty() && prompt != "-") return prompt;
  return without_last_newline(std::string(std::istreambuf_iterator<char>(std::cin), {}));
}

std::optional<float> narrow(const std::optional<double>& value) {
  return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
}

GenerateRequest make_request(const Config& config, const std::string& prompt) {
  const GenerateOptions& options = config.generate;
  GenerateRequest request;
  request.api = options.chat ? "chat" : "completions";
  if (options.chat) {
    ChatPrompt chat;
    chat.messages.push_back({"user", prompt, {}});
    request.prompts.emplace_back(std::move(chat));
  } else {
    request.prompts.emplace_back(prompt);
  }
  SamplingFields& sampling = request.sampling;
  sampling.temperature = narrow(options.temperature);
  sampling.top_p = narrow(options.top_p);
  sampling.min_p = narrow(options.min_p);
  sampling.top_k = options.top_k;
  sampling.presence_penalty = narrow(options.presence_penalty);
  sampling.frequency_penalty = narrow(options.frequency_penalty);
  sampling.repetition_penalty = narrow(options.repetition_penalty);
  sampling.max_tokens = options.max_tokens;
  sampling.stop = options.stop;
  sampling.ignore_eos = options.ignore_eos;
  if (config.engine.seed != 0) sampling.seed = static_cast<std::int64_t>(config.engine.seed);
  request.to_context_end = true;
  request.stream = true;
  return request;
}

const char* finish_name(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

// Prints text as it comes; the main thread waits for the end.
class TerminalSink final : public GenerationSink {
 public:
  void on_text(TextDelta delta) override {
    std::fwrite(delta.text.data(), 1, delta.text.size(), stdout);
    std::fflush(stdout);
    text_ += delta.text;
    if (delta.finish != FinishReason::kNone) finish_ = delta.finish;
  }
  void on_done(const CallSummary& summary) override {
    summary_ = summary;
    ended_.push(true);
  }
  void on_error(const Error& error) override {
    error_ = error;
    ended_.push(false);
  }

  // After the end, by one thread.
  Result<nlohmann::ordered_json> wait() {
    bool good = false;
    for (const bool end : ended_.wait_drain()) good = end;
    if (!good) return tl::unexpected(error_);
    const Timings& timings = summary_.timings;
    return nlohmann::ordered_json{
        {"text", text_},
        {"finish_reason", finish_name(finish_)},
        {"prompt_tokens", summary_.usage.prompt_tokens},
        {"completion_tokens", summary_.usage.completion_tokens},
        {"prompt_ms", timings.prompt_ms},
        {"predicted_ms", timings.predicted_ms},
        {"tokens_per_second",
         timings.predicted_ms > 0 ? 1000 * timings.timed_n / timings.predicted_ms : 0.0},
        {"sparsity",
         {{"mode", sparsity_mode_name(summary_.sparsity.mode)},
          {"mlp_density", summary_.sparsity.mlp_density},
          {"head_density", summary_.sparsity.head_density}}}};
  }

 private:
  std::string text_;
  FinishReason finish_ = FinishReason::kNone;
  CallSummary summary_;
  Error error_;
  Inbox<bool> ended_;
};

}  // namespace

Result<int> run_generate(const CommandLine& line) {
  Config config = line.config;
  // The terminal is for the text: below warnings, only what was asked for.
  if (line.source_of("log-level") == Source::kDefault) config.log.level = "warn";
  init_logging(config.log);
  const auto location = check_model_options(config);
  if (!location) return tl::unexpected(location.error());
  const auto prompt = read_prompt(config.generate.prompt);
  if (!prompt) return tl::unexpected(prompt.error());
  config.service.served_model_names = {location->name};
  config.engine.max_num_seqs = 1;  // so the KV cache is sized for one request

  const auto metrics = Metrics::create();
  auto stack = load_model(config, *location);
  if (!stack) return tl::unexpected(stack.error());
  const auto service = GenerationService::create(config.service, *metrics);
  if (const Status ready = service->attach(stack->parts(config)); !ready) {
    return tl::unexpected(ready.error());
  }
  stack->engine->start();
  service->set_state(ServiceState::kReady);

  const auto sink = std::make_shared<TerminalSink>();
  const auto call = service->generate(make_request(config, *prompt), sink);
  const auto result = sink->wait();
  std::fputc('\n', stdout);
  stack->engine->stop(Error{ErrorCode::kUnavailable, "the command has ended", {}, {}});
  if (!result) return tl::unexpected(result.error());
  const Status written = write_json_file(config.client.json_file, *result);
  return written.map([] { return 0; });
}

}  // namespace dejavu
