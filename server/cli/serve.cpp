// `dejavu serve`: the daemon.
#include "server/app.h"
#include "server/cli/commands.h"

namespace dejavu {

Result<int> run_serve(const CommandLine& line) { return run_daemon(line); }

}  // namespace dejavu
