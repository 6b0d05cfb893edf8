#include "server/admin/logging.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>

namespace dejavu {

namespace {

// Between a line's message and its fields (a JSON object) on the way to the formatter.
constexpr char kFieldSeparator = '\x1f';

struct Entry {
  std::string_view message;
  nlohmann::ordered_json fields;  // an object, or null when there are none
};

Entry split(spdlog::string_view_t payload) {
  const std::string_view text(payload.data(), payload.size());
  const std::size_t at = text.find(kFieldSeparator);
  if (at == std::string_view::npos) return {text, nullptr};
  auto fields = nlohmann::ordered_json::parse(text.substr(at + 1), nullptr, false);
  if (!fields.is_object()) return {text, nullptr};  // the character was part of the message
  return {text.substr(0, at), std::move(fields)};
}

std::string timestamp(spdlog::log_clock::time_point time) {
  const std::time_t seconds = spdlog::log_clock::to_time_t(time);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, millis);
}

std::string dump(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// A bare word where that is unambiguous, else a JSON string, so that a value cannot forge a line.
std::string text_value(const nlohmann::ordered_json& value) {
  if (!value.is_string()) return dump(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool bare = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '=';
  });
  return bare ? text : dump(value);
}

void append(std::string_view text, spdlog::memory_buf_t& out) {
  out.append(text.data(), text.data() + text.size());
}

std::string_view level_name(spdlog::level::level_enum level) {
  const auto name = spdlog::level::to_string_view(level);
  return {name.data(), name.size()};
}

class TextFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    const Entry entry = split(msg.payload);
    append(fmt::format("{} {:<7} ", timestamp(msg.time), level_name(msg.level)), out);
    append(entry.message, out);
    for (const auto& [key, value] : entry.fields.items()) {
      append(fmt::format(" {}={}", key, text_value(value)), out);
    }
    append("\n", out);
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<TextFormatter>();
  }
};

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    const Entry entry = split(msg.payload);
    nlohmann::ordered_json line;
    line["time"] = timestamp(msg.time);
    line["level"] = level_name(msg.level);
    line["message"] = entry.message;
    if (entry.fields.is_object()) line.update(entry.fields);
    append(dump(line), out);
    append("\n", out);
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

std::unique_ptr<spdlog::formatter> make_log_formatter(bool json) {
  if (json) return std::make_unique<JsonFormatter>();
  return std::make_unique<TextFormatter>();
}

void init_logging(const LogOptions& options) {
  auto logger =
      std::make_shared<spdlog::logger>("dejavu", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(make_log_formatter(options.format == "json"));
  logger->set_level(spdlog::level::from_str(options.level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

void log_event(spdlog::level::level_enum level, std::string_view message,
               const nlohmann::ordered_json& fields) {
  if (!spdlog::should_log(level)) return;
  std::string payload(message);
  payload += kFieldSeparator;
  payload += dump(fields);
  spdlog::log(level, spdlog::string_view_t(payload));
}

}  // namespace dejavu
