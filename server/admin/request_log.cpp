#include "server/admin/request_log.h"

#include <cmath>

#include "server/admin/logging.h"

namespace dejavu {

namespace {

double milliseconds(double seconds) { return std::round(seconds * 1e6) / 1e3; }

}  // namespace

void log_request(const RequestRecord& record, const std::optional<std::string>& prompt) {
  nlohmann::ordered_json fields;
  fields["request_id"] = record.request_id;
  if (!record.trace_id.empty()) fields["trace_id"] = record.trace_id;
  fields["api"] = record.api;
  fields["model"] = record.model;
  fields["status"] = record.status;
  fields["outcome"] = record.outcome;
  if (!record.finish_reason.empty()) fields["finish_reason"] = record.finish_reason;
  fields["prompt_tokens"] = record.prompt_tokens;
  fields["cached_tokens"] = record.cached_tokens;
  fields["completion_tokens"] = record.completion_tokens;
  fields["queue_ms"] = milliseconds(record.queue_seconds);
  fields["ttft_ms"] = milliseconds(record.ttft_seconds);
  fields["itl_ms"] = milliseconds(record.itl_seconds);
  fields["e2e_ms"] = milliseconds(record.e2e_seconds);
  if (prompt) fields["prompt"] = *prompt;
  log_event(spdlog::level::info, "request", fields);
}

}  // namespace dejavu
