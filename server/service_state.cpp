#include "server/service_state.h"

namespace dejavu {

const char* state_name(ServiceState state) {
  switch (state) {
    case ServiceState::kLoading:
      return "loading";
    case ServiceState::kReady:
      return "ready";
    case ServiceState::kLeaving:
      return "leaving";
    case ServiceState::kDraining:
      return "draining";
    case ServiceState::kFailed:
      break;
  }
  return "failed";
}

Status check_ready(ServiceState state) {
  const auto refuse = [](const char* message, const char* code) {
    return fail(ErrorCode::kUnavailable, message, {}, code);
  };
  switch (state) {
    case ServiceState::kReady:
      return {};
    case ServiceState::kLoading:
      return refuse("the model is still loading; try again shortly", "model_loading");
    case ServiceState::kLeaving:
    case ServiceState::kDraining:
      return refuse("the server is shutting down", "shutting_down");
    case ServiceState::kFailed:
      break;
  }
  return refuse("the engine has failed; the server must be restarted", "engine_failed");
}

}  // namespace dejavu
