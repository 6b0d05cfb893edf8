#include "server/http/call_relay.h"

#include <chrono>
#include <ctime>
#include <utility>

#include "server/http/error_body.h"
#include "server/http/sparsity_json.h"

namespace dejavu {
namespace {

HttpResponse event_stream(const std::string& sparsity_mode) {
  HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  if (!sparsity_mode.empty()) response.headers.emplace_back(kSparsityHeader, sparsity_mode);
  return response;
}

std::string model_name(const GenerationService& service, const std::string& asked) {
  if (!asked.empty()) return asked;
  const std::vector<ModelCard> models = service.models();
  return models.empty() ? std::string() : models.front().id;
}

}  // namespace

CallRelay::CallRelay(Args args, GenerateBody body)
    : args_(std::move(args)), stream_(body.request.stream) {
  const GenerationService& service = args_.context.service;
  format_ = ReplyFormat::make(
      body, {args_.request.request_id, model_name(service, body.request.model),
             service.system_fingerprint(), static_cast<std::int64_t>(std::time(nullptr))});
  if (const auto mode = service.sparsity_mode(body.request.sparsity.wish)) {
    sparsity_mode_ = sparsity_mode_name(*mode);
  }
  request_ = std::move(body.request);
  events_ =
      std::make_shared<CallEvents>([connection = args_.connection] { connection->post_signal(); });
}

CallRelay::~CallRelay() { events_->close(); }

Connection::Task<bool> CallRelay::run() {
  Connection& connection = *args_.connection;
  const auto silence = std::chrono::duration_cast<Connection::Clock::duration>(
      std::chrono::duration<double>(args_.context.options.ping_seconds));
  // Leaving this scope drops the call, which cancels what still runs.
  const std::shared_ptr<GenerationCall> call =
      args_.context.service.generate(std::move(request_), events_);
  connection.start_watch();
  auto last_write = Connection::Clock::now();
  while (!connection.gone()) {
    take_events();
    if (stream_ && pending_.empty() && Connection::Clock::now() >= last_write + silence) ping();
    if (!pending_.empty()) {
      co_await flush();
      last_write = Connection::Clock::now();
    } else if (ended_) {
      break;
    } else {
      if (args_.context.stopping) call->cancel();
      co_await connection.pause(stream_ ? last_write + silence
                                        : Connection::Clock::time_point::max());
    }
  }
  co_await connection.stop_watch();
  co_return !connection.gone() && !failed_midway_ && args_.wire.framing != Framing::kUntilClose &&
      args_.wire.keep_alive;
}

void CallRelay::take_events() {
  for (CallEvent& event : events_->take()) {
    if (auto* delta = std::get_if<TextDelta>(&event)) {
      if (stream_)
        pending_ += format_->event(*delta);
      else
        choices_.push_back(std::move(*delta));
    } else if (const auto* summary = std::get_if<CallSummary>(&event)) {
      take_end(*summary);
    } else {
      take_error(std::get<Error>(event));
    }
  }
}

void CallRelay::take_end(const CallSummary& summary) {
  ended_ = true;
  if (stream_) {
    pending_ += format_->finish(summary);
    return;
  }
  HttpResponse response;
  response.body = format_->body(std::move(choices_), summary);
  response.headers.emplace_back(kSparsityHeader, sparsity_header(summary.sparsity));
  args_.wire.framing = Framing::kLength;
  pending_ = head(std::move(response));
  head_sent_ = true;
}

// Nothing was sent yet: a plain refusal with its status. Otherwise the status is gone and an event
// must say it.
void CallRelay::take_error(const Error& error) {
  ended_ = true;
  const bool by_us = error.code == ErrorCode::kCancelled && args_.context.stopping;
  const Error shown = by_us ? check_ready(ServiceState::kDraining).error() : error;
  if (stream_ && (head_sent_ || !pending_.empty())) {
    failed_midway_ = true;
    pending_ += ReplyFormat::error_event(shown);
    return;
  }
  args_.wire.framing = Framing::kLength;
  pending_ = head(error_response(shown));
  head_sent_ = true;
}

void CallRelay::ping() { pending_ = ": ping\n\n"; }

Connection::Task<void> CallRelay::flush() {
  std::string out;
  if (stream_ && args_.wire.framing != Framing::kLength) {
    if (!head_sent_) out = head(event_stream(sparsity_mode_));
    head_sent_ = true;
    out += chunk_text(pending_, args_.wire.framing);
    if (ended_) out += chunk_text({}, args_.wire.framing);
  } else {
    out = std::move(pending_);
  }
  pending_.clear();
  co_await args_.connection->write(out);
}

std::string CallRelay::head(HttpResponse response) const {
  args_.context.gate.add_cors_headers(args_.request, response);
  return response_text(response, args_.wire);
}

}  // namespace dejavu
