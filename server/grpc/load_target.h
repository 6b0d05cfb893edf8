// dejavu's gRPC front as a LoadTarget.
#pragma once

#include <memory>
#include <string>

#include "server/load/load_target.h"

namespace dejavu {

// `address` is HOST:PORT. Streams run on the callback API, on gRPC's own threads.
std::unique_ptr<LoadTarget> make_grpc_target(const std::string& address,
                                             const LoadSettings& settings);

}  // namespace dejavu
