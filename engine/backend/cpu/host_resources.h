// What this process may use of the machine: CPUs by its affinity mask and the cgroups' CPU quota,
// memory by the cgroups' limits and what is available now. Never the host's totals alone.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace dejavu {

struct HostResources {
  int threads = 1;
  std::string threads_source;   // "sched_getaffinity", "cgroup cpu.max", ...
  std::vector<int> cpus;        // the affinity mask
  bool exclusive_cpus = false;  // someone gave us part of the machine's CPUs
  std::size_t memory_bytes = 0;
  std::string memory_source;
};

// `root` stands for / in the paths below /proc and /sys (tests pass a fake tree); `affinity` is the
// process's mask.
HostResources read_host_resources(const std::filesystem::path& root,
                                  const std::vector<int>& affinity);

// The CPUs sched_getaffinity allows.
std::vector<int> current_affinity();

}  // namespace dejavu
