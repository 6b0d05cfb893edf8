#include "engine/backend/factory.h"

namespace dejavu {

Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& /*options*/) {
  return fail(ErrorCode::kInternal, "the CPU backend is not there yet");
}

}  // namespace dejavu
