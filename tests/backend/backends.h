// The backends op tests run over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/backend/factory.h"

namespace dejavu {

struct NamedBackend {
  std::string name;
  std::unique_ptr<Backend> backend;
};

std::vector<NamedBackend> test_backends();

}  // namespace dejavu
