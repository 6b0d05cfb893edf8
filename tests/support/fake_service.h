// A GenerationService that tests script: it echoes prompts word by word, and waits, fails or never
// ends when told to. Tokens are the bytes of the text.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/admin/metrics.h"
#include "server/generation_service.h"
#include "tests/support/fake_sparsity.h"

namespace dejavu {

// What the fake does is chosen by the first prompt's text:
//   "fail:CODE"   on_error at once (argument, queue, loading, model, deadline)
//   "break"       one delta, then on_error(kInternal)
//   "forever"     one delta a millisecond until cancelled
//   "silent"      no event until cancelled
//   "throw"       generate() throws
//   "long:N"      one delta of N characters
// Anything else: a choice answers "<prompt>!<k>" in two deltas (one when not streamed), token 7.
// Under lookahead a choice's first token has densities of 1, its second 0.5 (MLP) and 0.75 (heads),
// and when asked for per layer, details of two layers and an audit.
class FakeService final : public GenerationService {
 public:
  FakeService() = default;
  ~FakeService() override;
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;

  Status attach(Parts parts) override;
  void set_state(ServiceState state) override { state_ = state; }
  ServiceState state() const override { return state_; }
  std::shared_ptr<GenerationCall> generate(GenerateRequest request,
                                           std::shared_ptr<GenerationSink> sink) override;
  void record_refusal(const GenerateRequest& request, ErrorCode code, int status) override;
  Result<std::vector<std::int32_t>> tokenize(const TokenizeRequest& request) override;
  Result<std::string> detokenize(const std::string& model,
                                 const std::vector<std::int32_t>& ids) override;
  Result<std::string> apply_template(const std::string& model, const ChatPrompt& chat) override;
  std::string token_text(std::int32_t id) const override;
  std::string token_bytes(std::int32_t id) const override { return token_text(id); }
  std::vector<ModelCard> models() const override;
  bool serves(const std::string& model) const override;
  int max_model_len() const override { return 2048; }
  std::string system_fingerprint() const override { return "fp_fake"; }
  EngineStats engine_stats() const override;
  Result<SparsityMode> sparsity_mode(const SparsityWish& wish) const override;
  Result<SparsityStatus> sparsity_status() const override;
  int active_calls() const override { return active_; }
  std::string describe_defaults() const override { return {}; }

  // The last request that came in.
  GenerateRequest last_request() const;
  // The statuses of the refusals that were recorded, in order.
  std::vector<int> refusals() const;
  // The models those named.
  std::vector<std::string> refused_models() const;
  void set_engine_stats(const EngineStats& stats);
  int cancelled_calls() const { return cancelled_; }

 private:
  class Call;
  void run(const GenerateRequest& request, const std::atomic<bool>& cancelled,
           GenerationSink& sink);
  void answer(const GenerateRequest& request, GenerationSink& sink) const;

  std::atomic<ServiceState> state_{ServiceState::kReady};
  std::atomic<int> active_{0};
  std::atomic<int> cancelled_{0};
  mutable std::mutex mutex_;
  GenerateRequest last_;
  std::vector<int> refusals_;
  std::vector<std::string> refused_models_;
  EngineStats stats_;
  FakeSparsity sparsity_;
  std::vector<std::thread> threads_;
};

}  // namespace dejavu
