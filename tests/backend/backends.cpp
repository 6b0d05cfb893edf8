#include "tests/backend/backends.h"

namespace dejavu {

std::vector<NamedBackend> test_backends() {
  std::vector<NamedBackend> backends;
  backends.push_back({"cpu", std::move(make_cpu_backend(BackendOptions{}).value())});
  return backends;
}

}  // namespace dejavu
