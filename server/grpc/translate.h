// Between the protobuf messages and the native types.
#pragma once

#include "dejavu/v1/generation.pb.h"
#include "engine/core/result.h"
#include "server/generation_service.h"

namespace dejavu {

// Everything but the API's name, the ids and the deadline, which are the call's.
Result<GenerateRequest> to_native(const v1::GenerateRequest& message);
Result<TokenizeRequest> to_native(const v1::TokenizeRequest& message);

// Moves the delta's text and ids.
void fill_choice(TextDelta delta, v1::Choice& out);
void fill_usage(const Usage& usage, v1::Usage& out);
void fill_sparsity(const SparsityUse& use, v1::SparsityUse& out);
void fill_sparsity(const SparsityStatus& status, v1::GetSparsityResponse& out);
void fill_timings(const Timings& timings, v1::Timings& out);

}  // namespace dejavu
