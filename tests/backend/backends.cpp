#include "tests/backend/backends.h"

#include "engine/backend/cpu/isa.h"

namespace dejavu {

std::vector<NamedBackend> test_backends() {
  std::vector<NamedBackend> backends;
  for (const CpuIsa isa : supported_isas()) {
    BackendOptions options;
    options.cpu_isa = isa_name(isa);
    options.threads = 2;
    backends.push_back({"cpu " + options.cpu_isa, std::move(make_cpu_backend(options).value())});
  }
  return backends;
}

}  // namespace dejavu
