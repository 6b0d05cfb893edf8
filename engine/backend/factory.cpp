#include "engine/backend/factory.h"

namespace dejavu {

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.device == DeviceChoice::kCuda) return make_cuda_backend(options);
  if (options.device == DeviceChoice::kAuto) {
    if (auto cuda = make_cuda_backend(options)) return cuda;
  }
  return make_cpu_backend(options);
}

}  // namespace dejavu
