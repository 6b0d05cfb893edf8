// The sampling fields that completions and chat share, under vLLM's names, and the fields that
// would change the answer and are not served: those are refused by name, never ignored.
#pragma once

#include "server/generation_service.h"
#include "server/http/fields.h"

namespace dejavu {

inline constexpr IntRange kLogprobCounts{0, kMaxLogprobs};

// Everything but logprobs, whose shape differs between the two APIs. Ranges that the service
// checks are left to it.
SamplingFields parse_sampling(Fields& fields);
void refuse_unserved(Fields& fields);

}  // namespace dejavu
