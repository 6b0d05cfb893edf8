#include "server/app.h"

#include <spdlog/fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "server/admin/logging.h"
#include "server/admin/metrics.h"
#include "server/admin/sparsity_events.h"
#include "server/admin/stats_logger.h"
#include "server/events.h"
#include "server/grpc/grpc_server.h"
#include "server/http/http_server.h"
#include "server/liveness.h"
#include "server/load_progress.h"
#include "server/model_stack.h"
#include "server/service_manager.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kTry =
    R"(/v1/completions -H 'Content-Type: application/json' -d '{"prompt": "Once upon a time", "max_tokens": 64}')";

std::string authority(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

// An address a client on this machine can use.
std::string reachable(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  return host == "::" ? "::1" : host;
}

std::string describe_sparsity(const SparsityStatus& status) {
  std::string text(sparsity_mode_name(status.mode));
  if (status.target_recall > 0) text += fmt::format(" at target recall {}", status.target_recall);
  return text + ": " + status.reason;
}

class Daemon {
 public:
  Daemon(const CommandLine& line, ModelLocation location)
      : line_(line), config_(line.config), location_(std::move(location)) {
    if (config_.service.served_model_names.empty()) {
      config_.service.served_model_names = {location_.name};
    }
  }

  Result<int> run() {
    if (const Status up = start_servers(); !up) return tl::unexpected(up.error());
    const std::string grpc = grpc_ ? " and grpc://" + authority(host(), grpc_->port()) : "";
    spdlog::info("listening on http://{}{}; loading {}", authority(host(), http_->port()), grpc,
                 location_.directory.string());
    manager_.loading(location_.directory.string());
    std::thread loader([this] {
      loaded_ = load();
      events_.post(Event::kLoaded);
    });
    bool stop = false;
    for (std::optional<Event> event; event != Event::kLoaded; event = events_.wait(std::nullopt)) {
      stop = stop || event == Event::kStop;
    }
    loader.join();
    if (stop || !loaded_) {
      shut_down();
      if (stop) return 0;
      return tl::unexpected(loaded_.error());
    }
    set_state(ServiceState::kReady);
    log_ready();
    manager_.ready();
    const SparsityEventLogger events([this] { return stack_.sparsity->status(); });
    const StatsLogger stats(*metrics_, [this] { return stack_.engine->stats(); });
    return serve();
  }

 private:
  Status start_servers() {
    metrics_ = Metrics::create(config_.metrics);
    service_ = GenerationService::create(config_.service, *metrics_);
    auto http = HttpServer::start(config_.http, *service_, *metrics_);
    if (!http) return tl::unexpected(http.error());
    http_ = *std::move(http);
    if (config_.grpc.port >= 0) {
      auto grpc = GrpcServer::start(config_.grpc, *service_);
      if (!grpc) return tl::unexpected(grpc.error());
      grpc_ = *std::move(grpc);
    }
    return {};
  }

  // Loader thread.
  Status load() {
    auto stack = load_model(config_, location_);
    if (!stack) return tl::unexpected(stack.error());
    stack_ = *std::move(stack);
    Engine& engine = *stack_.engine;
    engine.set_observers([this](const StepReport& step) { metrics_->record_step(step); },
                         [this](const Error& error) {
                           spdlog::critical("the engine failed: {}", error.message);
                           events_.post(Event::kFatal);
                         });
    engine.start();
    if (const Status warm = warm_up(engine, stack_.sparsity->standard()); !warm) return warm;
    if (const Status attached = service_->attach(stack_.parts(config_)); !attached) return attached;
    metrics_->set_stats_source([&engine] { return engine.stats(); });
    metrics_->set_sparsity_source([this] { return stack_.sparsity->status(); });
    const Transformer& model = engine.model();
    metrics_->set_model_info(config_.service.served_model_names.front(),
                             std::string(dtype_name(model.dtype())), stack_.backend->info().device,
                             engine.max_model_len());
    return {};
  }

  std::string host() const { return reachable(config_.http.host); }

  void set_state(ServiceState state) {
    service_->set_state(state);
    if (grpc_) grpc_->update_health();
  }

  // One block: lines of text, or one JSON object.
  void log_ready() const {
    const Engine& engine = *stack_.engine;
    const Transformer& model = engine.model();
    const int tokens = engine.stats().kv_pages_total * kKvPageTokens;
    const std::string url = "http://" + authority(host(), http_->port());
    const std::string options = non_default_options(line_);
    nlohmann::ordered_json block = {
        {"model", fmt::format("{} ({}, {}, {} of weights)", location_.directory.string(),
                              model.config().architecture, dtype_name(model.dtype()),
                              format_bytes(model.weight_bytes()))},
        {"kv_cache",
         fmt::format("{} tokens: {:.1f} requests of the full length of {}", tokens,
                     static_cast<double>(tokens) / engine.max_model_len(), engine.max_model_len())},
        {"sampling", service_->describe_defaults()},
        {"sparsity", describe_sparsity(stack_.sparsity->status())},
        {"options", options.empty() ? "all defaults" : options},
        {"http", url}};
    if (grpc_) block["grpc"] = authority(host(), grpc_->port());
    block["try"] = "curl " + url + kTry;
    const std::string ready =
        fmt::format("ready: {}", fmt::join(config_.service.served_model_names, ", "));
    if (config_.log.format == "json") {
      log_event(spdlog::level::info, ready, block);
      return;
    }
    spdlog::info(ready);
    for (const auto& [name, value] : block.items()) {
      spdlog::info("  {:<9} {}", name, value.get_ref<const std::string&>());
    }
  }

  int serve() {
    std::optional<Event> event = wait_until(Clock::time_point::max());
    if (event == Event::kStop) event = leave();
    if (event == Event::kFatal) {
      set_state(ServiceState::kFailed);
      shut_down();
      return 1;
    }
    return drain();
  }

  // News, or nothing when the time has come. Meanwhile the service manager hears that the engine
  // lives, as long as it does.
  std::optional<Event> wait_until(Clock::time_point end) {
    while (true) {
      if (!engine_hangs(stack_.engine->stats())) manager_.alive();
      const Clock::time_point now = Clock::now();
      if (now >= end) return std::nullopt;
      const auto limit = std::min(end - now, manager_.interval());
      if (const auto event = events_.wait(std::chrono::ceil<std::chrono::milliseconds>(limit))) {
        return event;
      }
    }
  }

  Clock::time_point in(double seconds) const {
    return Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  // Not ready any more, but serving: who watches /ready gets time to send new requests elsewhere.
  std::optional<Event> leave() {
    manager_.stopping();
    const double grace = config_.app.drain_grace_seconds;
    if (grace == 0) return std::nullopt;
    spdlog::info("leaving: not ready any more, but serving for another {} s", grace);
    set_state(ServiceState::kLeaving);
    return wait_until(in(grace));
  }

  // New requests are refused; what runs may finish until the deadline.
  int drain() {
    constexpr std::chrono::milliseconds kLook{20};
    const Clock::time_point deadline = in(config_.app.drain_timeout_seconds);
    spdlog::info("stopping: {} requests in flight get up to {} s to finish",
                 service_->active_calls(), config_.app.drain_timeout_seconds);
    set_state(ServiceState::kDraining);
    http_->drain();
    int code = 0;
    while (service_->active_calls() > 0 && Clock::now() < deadline) {
      if (wait_until(Clock::now() + kLook) == Event::kFatal) code = 1;
    }
    if (const int left = service_->active_calls(); left > 0) {
      spdlog::warn("the drain timeout is over: {} requests are cut off", left);
    }
    shut_down();
    return code;
  }

  void shut_down() {
    if (stack_.engine) {
      stack_.engine->stop(check_ready(ServiceState::kDraining).error());
    }
    if (grpc_) grpc_->stop();
    http_->stop();
    metrics_->set_stats_source({});
    metrics_->set_sparsity_source({});
    spdlog::info("stopped");
  }

  const CommandLine& line_;
  Config config_;
  ModelLocation location_;
  EventQueue events_;
  ServiceManager manager_;
  std::unique_ptr<Metrics> metrics_;
  ModelStack stack_;  // loader thread until kLoaded
  Status loaded_;
  std::unique_ptr<GenerationService> service_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<GrpcServer> grpc_;
};

}  // namespace

Result<int> run_daemon(const CommandLine& line) {
  init_logging(line.config.log);
  auto location = check_model_options(line.config);
  if (!location) return tl::unexpected(location.error());
  return Daemon(line, *std::move(location)).run();
}

}  // namespace dejavu
