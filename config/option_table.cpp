#include "config/option_tables.h"

namespace dejavu {

std::span<const OptionSpec> option_table() {
  static const std::vector<OptionSpec> table = [] {
    std::vector<OptionSpec> all;
    for (auto part : {model_options(), sparsity_options(), daemon_options(), generate_options(),
                      bench_options(), text_options(), calibration_options(), client_options()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return table;
}

}  // namespace dejavu
