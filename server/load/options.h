// The load client's settings, filled in by config/.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace dejavu {

// Zero or infinity means "no limit" where it makes sense.
struct LoadOptions {
  double request_rate = std::numeric_limits<double>::infinity();  // requests a second
  double burstiness = 1.0;  // shape of the gamma distribution of gaps; 1: Poisson arrivals
  int max_concurrency = 0;  // 0: as many as arrive
  int num_prompts = 100;
  std::string dataset = "random";  // or a JSON Lines file
  int random_input_len = 128;
  int random_output_len = 128;
  std::vector<std::string> goodput;  // ttft:MS, tpot:MS, e2el:MS
};

}  // namespace dejavu
