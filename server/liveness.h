// Whether the engine still moves: /health and the service manager's watchdog ask.
#pragma once

#include "engine/engine.h"

namespace dejavu {

// A step takes far less; an engine that has work and finished none for so long hangs.
inline constexpr double kHungAfterSeconds = 60;

inline bool engine_hangs(const EngineStats& stats) {
  return stats.running > 0 && stats.seconds_since_step > kHungAfterSeconds;
}

}  // namespace dejavu
