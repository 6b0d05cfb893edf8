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

// Each binary brings its own: the CPU's instruction sets, or the GPU (none without one).
std::vector<NamedBackend> test_backends();

// Whether every way of computing an element gives the same bits: the CPU's promise. On a GPU bits
// hold for the same op with the same shapes, and other ways agree within rounding.
inline bool promises_bits(const Backend& backend) { return backend.info().device == "cpu"; }

}  // namespace dejavu
