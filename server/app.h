// The daemon: wires config, model, engine, service and both servers together, and leads them
// through loading, ready, draining and the end.
#pragma once

#include "config/command_line.h"
#include "engine/core/result.h"

namespace dejavu {

// Runs until SIGTERM or SIGINT (0, after draining) or a device failure (1). An Error: it could not
// start. Call from the main thread before any other thread exists.
Result<int> run_daemon(const CommandLine& line);

}  // namespace dejavu
