// The best low-rank stand-in for a linear map.
#pragma once

#include "sparsity/evaluation/probe.h"

namespace dejavu {

// up [units][rank] has orthonormal columns, down [rank][input]; up down stands in for the map.
struct LowRankMap {
  HostMatrix up;
  HostMatrix down;
};

// Of all maps of this rank the one nearest to `map` [units][input] in the norm that `gram`
// [input][input], the inputs' second moments, gives to errors: reduced-rank regression (Izenman
// 1975). An empty `gram` means the identity, and the result is the truncated SVD. By subspace
// iteration (Halko, Martinsson, Tropp 2011) from a fixed seed.
LowRankMap reduce_rank(const HostMatrix& map, const HostMatrix& gram, int rank, Backend& backend);

}  // namespace dejavu
