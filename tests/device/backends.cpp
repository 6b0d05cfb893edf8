// The GPU, for the op tests of tests/backend. Without one they are skipped.
#include "tests/backend/backends.h"

#include <cstdio>

namespace dejavu {

std::vector<NamedBackend> test_backends() {
  std::vector<NamedBackend> backends;
  auto cuda = make_cuda_backend({});
  if (cuda) {
    backends.push_back({"cuda", std::move(*cuda)});
  } else {
    std::printf("SKIPPED: %s\n", cuda.error().message.c_str());
  }
  return backends;
}

}  // namespace dejavu
