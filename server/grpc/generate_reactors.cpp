#include "server/grpc/generate_reactors.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "server/error_status.h"
#include "server/grpc/call_context.h"
#include "server/grpc/translate.h"
#include "server/request_identity.h"

namespace dejavu {

namespace {

// Holds the call's handle for the reactor. Cancelling may come before the handle does.
class CancelSlot {
 public:
  void set(std::shared_ptr<GenerationCall> call) {
    const std::lock_guard lock(mutex_);
    call_ = std::move(call);
    if (cancelled_) call_->cancel();
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (call_ != nullptr) call_->cancel();
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<GenerationCall> call_;
  bool cancelled_ = false;
};

// What every response of a call carries.
struct ResponseHead {
  std::string id, model, fingerprint;
  std::int64_t created = 0;

  template <class Message>
  void fill(Message& message) const {
    message.set_id(id);
    message.set_model(model);
    message.set_created(created);
    message.set_system_fingerprint(fingerprint);
  }
};

ResponseHead make_head(const GenerateArgs& args, const std::string& request_id) {
  ResponseHead head;
  head.id = "gen-" + request_id;
  head.model = args.message.model();
  const auto cards = args.service.models();
  if (head.model.empty() && !cards.empty()) head.model = cards.front().id;
  head.fingerprint = args.service.system_fingerprint();
  head.created = std::chrono::duration_cast<std::chrono::seconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  return head;
}

// The message as a native request, with what the call's metadata and deadline say.
Result<GenerateRequest> make_request(const GenerateArgs& args) {
  if (auto status = check_api_key(args.context, args.options); !status) {
    return tl::unexpected(status.error());
  }
  auto request = to_native(args.message);
  if (!request) return request;
  request->stream = args.stream;
  if (const auto left = client_timeout_ms(args.context)) {
    request->timeout_ms = request->timeout_ms ? std::min(*request->timeout_ms, *left) : *left;
  }
  return request;
}

// Announces the request's id and hands the request to the service with `sink`, or tells the sink
// what is wrong with it. The sink may be gone on return.
void start_call(const GenerateArgs& args, const std::shared_ptr<CancelSlot>& slot,
                const std::string& request_id, GenerationSink& sink) {
  args.context.AddInitialMetadata("x-request-id", request_id);
  auto made = make_request(args);
  GenerateRequest request = made ? *std::move(made) : GenerateRequest{};
  request.api = "grpc";
  request.request_id = request_id;
  request.trace_id = trace_id_of(metadata_value(args.context, "traceparent"));
  if (!made) {
    request.model = args.message.model();
    args.service.record_refusal(request, made.error().code, http_status(made.error().code));
    return sink.on_error(made.error());
  }
  if (const auto mode = args.service.sparsity_mode(request.sparsity.wish)) {
    args.context.AddInitialMetadata("x-dejavu-sparsity", std::string(sparsity_mode_name(*mode)));
  }
  // The sink is the reactor, which lives until its end has been told: nothing to own here.
  const std::shared_ptr<GenerationSink> borrowed(std::shared_ptr<void>(), &sink);
  slot->set(args.service.generate(std::move(request), borrowed));
}

class UnaryReactor final : public grpc::ServerUnaryReactor, public GenerationSink {
 public:
  UnaryReactor(grpc::CallbackServerContext& context, v1::GenerateResponse& response,
               std::shared_ptr<CancelSlot> slot)
      : context_(context), response_(response), slot_(std::move(slot)) {}

  void on_text(TextDelta delta) override {
    const auto index = delta.choice;
    while (response_.choices_size() <= index) response_.add_choices();
    fill_choice(std::move(delta), *response_.mutable_choices(index));
  }
  void on_done(const CallSummary& summary) override {
    fill_usage(summary.usage, *response_.mutable_usage());
    fill_timings(summary.timings, *response_.mutable_timings());
    fill_sparsity(summary.sparsity, *response_.mutable_sparsity());
    Finish(grpc::Status::OK);
  }
  void on_error(const Error& error) override { Finish(to_grpc_status(context_, error)); }

  void OnCancel() override { slot_->cancel(); }
  void OnDone() override { delete this; }

 private:
  grpc::CallbackServerContext& context_;
  v1::GenerateResponse& response_;
  std::shared_ptr<CancelSlot> slot_;
};

class StreamReactor final : public grpc::ServerWriteReactor<v1::GenerateStreamResponse>,
                            public GenerationSink {
 public:
  StreamReactor(grpc::CallbackServerContext& context, ResponseHead head,
                std::shared_ptr<CancelSlot> slot)
      : context_(context), head_(std::move(head)), slot_(std::move(slot)) {}

  void on_text(TextDelta delta) override {
    v1::GenerateStreamResponse message;
    head_.fill(message);
    fill_usage(delta.usage, *message.mutable_usage());
    if (delta.sparsity) fill_sparsity(*delta.sparsity, *message.mutable_sparsity());
    fill_choice(std::move(delta), *message.mutable_choice());
    enqueue(std::move(message));
  }
  void on_done(const CallSummary& summary) override {
    v1::GenerateStreamResponse message;
    head_.fill(message);
    fill_usage(summary.usage, *message.mutable_usage());
    fill_timings(summary.timings, *message.mutable_timings());
    fill_sparsity(summary.sparsity, *message.mutable_sparsity());
    enqueue(std::move(message));
    end(grpc::Status::OK);
  }
  void on_error(const Error& error) override { end(to_grpc_status(context_, error)); }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    queue_.pop_front();
    if (!ok) {  // the client is gone
      queue_.clear();
      slot_->cancel();
    }
    if (!queue_.empty()) return StartWrite(&queue_.front());
    finish_if_ended(lock);
  }
  void OnCancel() override { slot_->cancel(); }
  void OnDone() override { delete this; }

 private:
  // One write at a time: the front of the queue is being written.
  void enqueue(v1::GenerateStreamResponse message) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }
  void end(grpc::Status status) {
    std::unique_lock lock(mutex_);
    status_ = std::move(status);
    if (queue_.empty()) finish_if_ended(lock);
  }
  // After Finish the reactor may be gone at any time, so the lock goes first.
  void finish_if_ended(std::unique_lock<std::mutex>& lock) {
    if (!status_) return;
    const grpc::Status status = *status_;
    lock.unlock();
    Finish(status);
  }

  grpc::CallbackServerContext& context_;
  const ResponseHead head_;
  const std::shared_ptr<CancelSlot> slot_;
  std::mutex mutex_;
  std::deque<v1::GenerateStreamResponse> queue_;
  std::optional<grpc::Status> status_;  // once the service has ended the call
};

}  // namespace

grpc::ServerUnaryReactor* start_generate(const GenerateArgs& args, v1::GenerateResponse& response) {
  const auto id = request_id_or_new(metadata_value(args.context, "x-request-id"));
  make_head(args, id).fill(response);
  auto slot = std::make_shared<CancelSlot>();
  auto* reactor = new UnaryReactor(args.context, response, slot);
  start_call(args, slot, id, *reactor);
  return reactor;
}

grpc::ServerWriteReactor<v1::GenerateStreamResponse>* start_generate_stream(
    const GenerateArgs& args) {
  const auto id = request_id_or_new(metadata_value(args.context, "x-request-id"));
  auto slot = std::make_shared<CancelSlot>();
  auto* reactor = new StreamReactor(args.context, make_head(args, id), slot);
  start_call(args, slot, id, *reactor);
  return reactor;
}

}  // namespace dejavu
