#include "server/generation_service.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "server/admin/request_log.h"
#include "server/call.h"
#include "server/error_status.h"
#include "server/request_identity.h"

namespace dejavu {

namespace {

class CallHandle final : public GenerationCall {
 public:
  explicit CallHandle(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~CallHandle() override { call_->cancel(); }
  CallHandle(const CallHandle&) = delete;
  CallHandle& operator=(const CallHandle&) = delete;
  void cancel() override { call_->cancel(); }
  const std::string& request_id() const override { return call_->request_id(); }

 private:
  std::shared_ptr<Call> call_;
};

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

std::string hex(std::uint64_t value) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::string make_fingerprint(const std::string& root, const Transformer& model) {
  const std::string identity = root + '\n' + std::string(dtype_name(model.dtype())) + '\n' +
                               std::to_string(model.weight_bytes()) + '\n' + DEJAVU_VERSION;
  return "fp_" + hex(fnv1a(identity)).substr(0, 10);
}

std::size_t longest_token(const Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, tokenizer.token_bytes(id).size());
  }
  return longest;
}

std::int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class ServiceImpl final : public GenerationService {
 public:
  ServiceImpl(const ServiceOptions& options, Metrics& metrics)
      : options_(options),
        metrics_(metrics),
        pool_(std::make_shared<ServicePool>(std::max(1, options.service_threads))) {}

  ~ServiceImpl() override {
    state_ = ServiceState::kDraining;
    for (const auto& call : running_calls()) call->cancel();
    pool_->stop();
  }
  ServiceImpl(const ServiceImpl&) = delete;
  ServiceImpl& operator=(const ServiceImpl&) = delete;

  Status attach(Parts parts) override {
    auto defaults = merge_sampling_defaults(
        {options_.override_generation_config, parts.generation_config, parts.eos_token_ids});
    if (!defaults) return tl::unexpected(defaults.error());
    auto model = std::make_shared<LoadedModel>();
    model->engine = parts.engine;
    model->sparsity = parts.sparsity;
    model->max_model_len = parts.engine->max_model_len();
    model->vocab_size = parts.engine->model().config().vocab_size;
    model->fingerprint = make_fingerprint(parts.model_root, parts.engine->model());
    model->longest_token_bytes = longest_token(*parts.tokenizer);
    model->tokenizer = std::move(parts.tokenizer);
    model->chat_template = std::move(parts.chat_template);
    model->bos_token = std::move(parts.bos_token);
    model->eos_token = std::move(parts.eos_token);
    model->defaults = std::move(*defaults);
    model->max_sequences = parts.max_sequences;
    model->created = unix_seconds();
    model->names = options_.served_model_names;
    if (model->names.empty()) {
      const std::filesystem::path root = std::filesystem::path(parts.model_root).lexically_normal();
      model->names.push_back((root.has_filename() ? root : root.parent_path()).filename());
    }
    model->root = std::move(parts.model_root);
    const std::lock_guard lock(mutex_);
    model_ = std::move(model);
    return {};
  }

  void set_state(ServiceState state) override {
    state_ = state;
    metrics_.set_ready(state == ServiceState::kReady);
  }
  ServiceState state() const override { return state_; }

  std::shared_ptr<GenerationCall> generate(GenerateRequest request,
                                           std::shared_ptr<GenerationSink> sink) override {
    if (request.request_id.empty()) request.request_id = request_id_or_new({});
    CallSetup setup;
    setup.model = model();
    if (request.model.empty() && setup.model != nullptr) request.model = setup.model->names.front();
    const auto admitted = admit(setup.model.get(), request);
    if (!admitted) setup.refusal = admitted.error();
    const int sequences = admitted.value_or(0);
    if (admitted) {
      const auto sparsity = resolve_sparsity(*setup.model, request.sparsity.wish);
      if (!sparsity) setup.refusal = sparsity.error();
      setup.sparsity = sparsity.value_or(SparsityChoice{});
    }
    setup.request = std::move(request);
    setup.sink = std::move(sink);
    setup.pool = pool_;
    setup.metrics = &metrics_;
    setup.log_prompt = options_.log_prompts;
    const std::uint64_t key = next_call_++;
    setup.on_end = [this, key, sequences] { forget(key, sequences); };
    auto call = std::make_shared<Call>(std::move(setup));
    {
      const std::lock_guard lock(mutex_);
      calls_.emplace(key, call);
    }
    call->signal();
    return std::make_shared<CallHandle>(std::move(call));
  }

  void record_refusal(const GenerateRequest& request, ErrorCode code, int status) override {
    RequestRecord record;
    record.request_id = request.request_id;
    record.trace_id = request.trace_id;
    record.api = request.api;
    record.model = request.model;
    record.outcome = error_code_name(code);
    record.status = status;
    metrics_.record_request(record);
    log_request(record, std::nullopt);
  }

  Result<std::vector<std::int32_t>> tokenize(const TokenizeRequest& request) override {
    const auto model = require(request.model);
    if (!model) return tl::unexpected(model.error());
    EncodeOptions options;
    options.add_special_tokens = request.add_special_tokens;
    options.allow_empty = true;
    auto encoded = encode_prompt(**model, request.prompt, options);
    if (!encoded) return tl::unexpected(encoded.error());
    return std::move(encoded->ids);
  }

  Result<std::string> detokenize(const std::string& name,
                                 const std::vector<std::int32_t>& ids) override {
    const auto model = require(name);
    if (!model) return tl::unexpected(model.error());
    if (auto status = check_token_ids(**model, ids, "tokens"); !status) {
      return tl::unexpected(status.error());
    }
    return (*model)->tokenizer->decode(ids, false);
  }

  Result<std::string> apply_template(const std::string& name, const ChatPrompt& chat) override {
    const auto model = require(name);
    if (!model) return tl::unexpected(model.error());
    return render_chat(**model, chat);
  }

  std::string token_text(std::int32_t id) const override {
    const auto model = this->model();
    return model == nullptr ? "" : lossy_token_text(*model->tokenizer, id);
  }

  std::string token_bytes(std::int32_t id) const override {
    const auto model = this->model();
    return model == nullptr ? "" : model->tokenizer->token_bytes(id);
  }

  std::vector<ModelCard> models() const override {
    const auto model = this->model();
    if (model == nullptr) return {};
    std::vector<ModelCard> cards;
    for (const std::string& name : model->names) {
      cards.push_back({name, model->root, model->created, model->max_model_len});
    }
    return cards;
  }

  bool serves(const std::string& name) const override {
    const auto model = this->model();
    return name.empty() || (model != nullptr && names(*model, name));
  }

  int max_model_len() const override {
    const auto model = this->model();
    return model == nullptr ? 0 : model->max_model_len;
  }

  std::string system_fingerprint() const override {
    const auto model = this->model();
    return model == nullptr ? "" : model->fingerprint;
  }

  EngineStats engine_stats() const override {
    const auto model = this->model();
    return model == nullptr ? EngineStats{} : model->engine->stats();
  }

  Result<SparsityMode> sparsity_mode(const SparsityWish& wish) const override {
    const auto model = require("");
    if (!model) return tl::unexpected(model.error());
    return resolve_sparsity(**model, wish).map([](const SparsityChoice& choice) {
      return choice.mode;
    });
  }

  Result<SparsityStatus> sparsity_status() const override {
    const auto model = require("");
    if (!model) return tl::unexpected(model.error());
    return sparsity_status_of(**model);
  }

  int active_calls() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(calls_.size());
  }

  std::string describe_defaults() const override {
    const auto model = this->model();
    return model == nullptr ? "" : model->defaults.description;
  }

 private:
  std::shared_ptr<const LoadedModel> model() const {
    const std::lock_guard lock(mutex_);
    return model_;
  }

  static bool names(const LoadedModel& model, const std::string& name) {
    return std::find(model.names.begin(), model.names.end(), name) != model.names.end();
  }

  Result<std::shared_ptr<const LoadedModel>> require(const std::string& name) const {
    auto model = this->model();
    if (auto status = check_open(model.get(), name); !status) {
      return tl::unexpected(status.error());
    }
    return model;
  }

  Status check_open(const LoadedModel* model, const std::string& name) const {
    const ServiceState state = state_;
    const bool serving = state == ServiceState::kReady || state == ServiceState::kLeaving;
    if (!serving) return check_ready(state);
    if (model == nullptr) return check_ready(ServiceState::kLoading);
    if (!name.empty() && !names(*model, name)) {
      return fail(ErrorCode::kNotFound, "The model `" + name + "` does not exist.", "model",
                  "model_not_found");
    }
    return {};
  }

  // Sequences taken in for the request, counted until forget(). Decided before any work is done.
  Result<int> admit(const LoadedModel* model, const GenerateRequest& request) {
    if (auto status = check_open(model, request.model); !status) {
      return tl::unexpected(status.error());
    }
    const auto count = count_choices(request, options_.max_n);
    if (!count) return count;
    const int before = sequences_.fetch_add(*count);
    if (model->max_sequences > 0 && before + *count > model->max_sequences) {
      sequences_ -= *count;
      return fail(ErrorCode::kResourceExhausted,
                  "the queue is full (" + std::to_string(before) +
                      " sequences run or wait); try again later",
                  "", "queue_full");
    }
    return count;
  }

  void forget(std::uint64_t key, int sequences) {
    sequences_ -= sequences;
    const std::lock_guard lock(mutex_);
    calls_.erase(key);
  }

  std::vector<std::shared_ptr<Call>> running_calls() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Call>> calls;
    for (const auto& [key, call] : calls_) calls.push_back(call);
    return calls;
  }

  const ServiceOptions options_;
  Metrics& metrics_;
  const std::shared_ptr<ServicePool> pool_;
  std::atomic<std::uint64_t> next_call_{0};
  std::atomic<ServiceState> state_{ServiceState::kLoading};
  std::atomic<int> sequences_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<const LoadedModel> model_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Call>> calls_;
};

}  // namespace

std::unique_ptr<GenerationService> GenerationService::create(const ServiceOptions& options,
                                                             Metrics& metrics) {
  return std::make_unique<ServiceImpl>(options, metrics);
}

}  // namespace dejavu
