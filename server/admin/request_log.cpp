#include "server/admin/request_log.h"

#include <cmath>

#include "server/admin/logging.h"

namespace dejavu {

namespace {

double milliseconds(double seconds) { return std::round(seconds * 1e6) / 1e3; }

nlohmann::ordered_json or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

nlohmann::ordered_json or_null(const std::optional<double>& seconds) {
  return seconds ? nlohmann::ordered_json(milliseconds(*seconds)) : nlohmann::ordered_json();
}

}  // namespace

void log_request(const RequestRecord& record, const std::optional<std::string>& prompt) {
  nlohmann::ordered_json fields;
  fields["request_id"] = record.request_id;
  fields["trace_id"] = or_null(record.trace_id);
  fields["api"] = record.api;
  fields["model"] = record.model;
  fields["status"] = record.status;
  fields["outcome"] = record.outcome;
  fields["finish_reason"] = or_null(record.finish_reason);
  fields["prompt_tokens"] = record.prompt_tokens;
  fields["cached_tokens"] = record.cached_tokens;
  fields["completion_tokens"] = record.completion_tokens;
  fields["queue_ms"] = milliseconds(record.queue_seconds);
  fields["ttft_ms"] = or_null(record.ttft_seconds);
  fields["itl_ms"] = or_null(record.itl_seconds);
  fields["e2e_ms"] = milliseconds(record.e2e_seconds);
  if (prompt) fields["prompt"] = *prompt;
  log_event(spdlog::level::info, "request", fields);
}

}  // namespace dejavu
