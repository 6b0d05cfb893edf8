// From what was measured to what to expect: pure functions.
#pragma once

#include "sparsity/analysis/findings.h"

namespace dejavu {

// `findings`: complete but for the verdict.
Verdict make_verdict(const ModelConfig& config, const Findings& findings);

}  // namespace dejavu
