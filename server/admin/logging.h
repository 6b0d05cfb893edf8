// The log: spdlog's default logger writing to stderr, as text or as one JSON object a line.
// Any thread may log once init_logging() has returned.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "server/admin/options.h"

namespace dejavu {

// Replaces spdlog's default logger.
void init_logging(const LogOptions& options);

// One line with fields: `message key=value …` as text, top-level keys in JSON.
void log_event(spdlog::level::level_enum level, std::string_view message,
               const nlohmann::ordered_json& fields);

// The formatter behind each log format.
std::unique_ptr<spdlog::formatter> make_log_formatter(bool json);

}  // namespace dejavu
