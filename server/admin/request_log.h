// The one line a request leaves in the log when it ends.
#pragma once

#include <optional>
#include <string>

#include "server/admin/metrics.h"

namespace dejavu {

// `prompt` is given only under --log-prompts. Any thread.
void log_request(const RequestRecord& record, const std::optional<std::string>& prompt);

}  // namespace dejavu
