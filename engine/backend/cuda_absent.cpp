// Stands in for cuda/ in a build without the CUDA backend.
#include "engine/backend/factory.h"

namespace dejavu {

Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& /*options*/) {
  return invalid("this build has no CUDA backend; use --device cpu or --device auto", "device");
}

}  // namespace dejavu
