#include "tests/support/fake_service.h"

#include <chrono>
#include <stdexcept>
#include <utility>

namespace dejavu {
namespace {

std::string prompt_text(const Prompt& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) return chat->messages.back().content;
  std::string text;
  for (const std::int32_t id : std::get<std::vector<std::int32_t>>(prompt))
    text += static_cast<char>(id);
  return text;
}

std::vector<std::int32_t> bytes_of(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

Error scripted_error(const std::string& kind) {
  if (kind == "queue")
    return {ErrorCode::kResourceExhausted, "The queue is full.", {}, "queue_full"};
  if (kind == "loading")
    return {ErrorCode::kUnavailable, "The model is loading.", {}, "model_loading"};
  if (kind == "model") return {ErrorCode::kNotFound, "No such model.", "model", "model_not_found"};
  if (kind == "deadline") return {ErrorCode::kDeadlineExceeded, "Too late.", {}, {}};
  return {ErrorCode::kInvalidArgument, "Too long.", "prompt", "context_length_exceeded"};
}

TokenText token(const std::string& text, int offset) {
  TokenText out;
  out.token = static_cast<unsigned char>(text[0]);
  out.text = out.bytes = text;
  out.logprob = -0.5F;
  out.rank = 1;
  out.text_offset = offset;
  out.top = {{out.token, text, text, -0.5F}, {90, "Z", "Z", -1.5F}};
  return out;
}

}  // namespace

class FakeService::Call final : public GenerationCall {
 public:
  Call(std::string id, std::shared_ptr<std::atomic<bool>> cancelled)
      : id_(std::move(id)), cancelled_(std::move(cancelled)) {}
  ~Call() override { *cancelled_ = true; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  void cancel() override { *cancelled_ = true; }
  const std::string& request_id() const override { return id_; }

 private:
  std::string id_;
  std::shared_ptr<std::atomic<bool>> cancelled_;
};

FakeService::~FakeService() {
  for (std::thread& thread : threads_) thread.join();
}

Status FakeService::attach(Parts /*parts*/) { return {}; }

std::shared_ptr<GenerationCall> FakeService::generate(GenerateRequest request,
                                                      std::shared_ptr<GenerationSink> sink) {
  if (prompt_text(request.prompts.front()) == "throw") throw std::runtime_error("scripted");
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  auto call = std::make_shared<Call>(request.request_id, cancelled);
  const std::lock_guard lock(mutex_);
  last_ = request;
  ++active_;
  threads_.emplace_back([this, request = std::move(request), cancelled, sink = std::move(sink)] {
    run(request, *cancelled, *sink);
    --active_;
  });
  return call;
}

void FakeService::run(const GenerateRequest& request, const std::atomic<bool>& cancelled,
                      GenerationSink& sink) {
  using namespace std::chrono_literals;
  const std::string text = prompt_text(request.prompts.front());
  if (text.starts_with("fail:")) return sink.on_error(scripted_error(text.substr(5)));
  if (text == "forever" || text == "silent") {
    while (!cancelled) {
      TextDelta delta;
      delta.text = "x";
      if (text == "forever" && request.stream) sink.on_text(delta);
      std::this_thread::sleep_for(1ms);
    }
    ++cancelled_;
    return sink.on_error({ErrorCode::kCancelled, "Cancelled.", {}, {}});
  }
  if (text == "break") {
    TextDelta delta;
    delta.text = "half";
    sink.on_text(delta);
    return sink.on_error({ErrorCode::kInternal, "The engine failed.", {}, {}});
  }
  if (const auto mode = sparsity_mode(request.sparsity.wish); !mode) {
    return sink.on_error(mode.error());
  }
  answer(request, sink);
}

void FakeService::answer(const GenerateRequest& request, GenerationSink& sink) const {
  CallSummary summary;
  summary.timings = {4, 2.0, 6, 2.5, 5};
  const bool sparse = request.sparsity.wish.mode == "lookahead";
  const bool per_chunk = request.sparsity.per_chunk;
  const SparsityUse first = sparse ? SparsityUse{SparsityMode::kLookahead, 1, 1} : SparsityUse{};
  SparsityUse second = sparse ? SparsityUse{SparsityMode::kLookahead, .5, .75} : first;
  if (sparse && request.sparsity.per_layer) {
    second.detail = std::make_shared<const TokenDetail>(
        TokenDetail{{.75F, .25F}, {1, .5F}, .625F, TokenAudit{1, true, .875F, .125F}});
  }
  summary.sparsity = sparse ? SparsityUse{SparsityMode::kLookahead, .75, .875} : first;
  for (std::size_t p = 0; p < request.prompts.size(); ++p) {
    std::string text = prompt_text(request.prompts[p]);
    if (text.starts_with("long:")) text = std::string(std::stoul(text.substr(5)), 'a');
    summary.usage.prompt_tokens += static_cast<int>(text.size());
    for (int k = 0; k < request.n; ++k) {
      TextDelta delta;
      delta.choice = static_cast<int>(p) * request.n + k;
      const std::string tail = "!" + std::to_string(k);
      if (request.sampling.prompt_logprobs || (request.echo && request.sampling.logprobs)) {
        delta.prompt_logprobs.push_back(token(text.substr(0, 1), 0));
        delta.prompt_logprobs.front().has_logprob = false;
        delta.prompt_logprobs.push_back(token("b", 1));
      }
      if (request.sampling.logprobs) delta.logprobs = {token(text, 0)};
      delta.text = text;
      summary.usage.completion_tokens += 2;
      delta.usage = summary.usage;
      if (request.stream) {
        if (per_chunk) delta.sparsity = first;
        sink.on_text(delta);
        delta.text.clear();
        delta.logprobs.clear();
        delta.prompt_logprobs.clear();
      }
      delta.text += tail;
      if (request.sampling.logprobs)
        delta.logprobs.push_back(token(tail, static_cast<int>(text.size())));
      delta.finish = FinishReason::kStop;
      delta.stop_reason = 7;
      if (per_chunk) delta.sparsity = request.stream ? second : summary.sparsity;
      sink.on_text(delta);
    }
  }
  summary.usage.cached_tokens = 1;
  sink.on_done(summary);
}

void FakeService::record_refusal(const GenerateRequest& request, ErrorCode /*code*/, int status) {
  const std::lock_guard lock(mutex_);
  refusals_.push_back(status);
  refused_models_.push_back(request.model);
}

Result<std::vector<std::int32_t>> FakeService::tokenize(const TokenizeRequest& request) {
  std::vector<std::int32_t> ids = bytes_of(prompt_text(request.prompt));
  if (request.add_special_tokens) ids.insert(ids.begin(), 2);
  return ids;
}

Result<std::string> FakeService::detokenize(const std::string& /*model*/,
                                            const std::vector<std::int32_t>& ids) {
  return prompt_text(Prompt(ids));
}

Result<std::string> FakeService::apply_template(const std::string& /*model*/,
                                                const ChatPrompt& chat) {
  std::string text;
  for (const ChatMessage& message : chat.messages)
    text += "<" + message.role + ">" + message.content;
  return text + (chat.add_generation_prompt ? "<assistant>" : "");
}

std::string FakeService::token_text(std::int32_t id) const {
  return std::string(1, static_cast<char>(id));
}

std::vector<ModelCard> FakeService::models() const {
  return {{"fake/model", "models/fake", 1700000000, max_model_len()},
          {"alias", "models/fake", 1700000000, max_model_len()}};
}

bool FakeService::serves(const std::string& model) const {
  return model.empty() || model == "fake/model" || model == "alias";
}

EngineStats FakeService::engine_stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Result<SparsityMode> FakeService::sparsity_mode(const SparsityWish& wish) const {
  const auto choice = sparsity_.resolve(wish);
  if (!choice) return tl::unexpected(choice.error());
  return choice->mode;
}

Result<SparsityStatus> FakeService::sparsity_status() const { return sparsity_.status(); }

GenerateRequest FakeService::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

std::vector<std::string> FakeService::refused_models() const {
  const std::lock_guard lock(mutex_);
  return refused_models_;
}

std::vector<int> FakeService::refusals() const {
  const std::lock_guard lock(mutex_);
  return refusals_;
}

void FakeService::set_engine_stats(const EngineStats& stats) {
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

}  // namespace dejavu
