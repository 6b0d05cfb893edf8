// Converting and transposing copies between host matrices.
#pragma once

#include "engine/model/weight_source.h"

namespace dejavu {

// Copies rows [begin, begin + out.rows) of `from`, or of its transpose, and converts to out.dtype.
// `from` may be misaligned.
void copy_slice(const ConstMatrix& from, const TensorSlice& slice);

}  // namespace dejavu
