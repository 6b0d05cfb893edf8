// The daemon's life as its clients see it.
#pragma once

#include <cstdint>

#include "engine/core/result.h"

namespace dejavu {

enum class ServiceState : std::uint8_t {
  kLoading,
  kReady,
  kLeaving,   // not ready, so that new work goes elsewhere; what still comes is served
  kDraining,  // what runs may finish, new work is refused
  kFailed,
};

const char* state_name(ServiceState state);  // "loading" …

// Why a server in this state is not ready: UNAVAILABLE with the code that every refusal and /ready
// give, model_loading, shutting_down or engine_failed.
Status check_ready(ServiceState state);

}  // namespace dejavu
