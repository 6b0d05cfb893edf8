#include "server/admin/process_collector.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

#include "server/admin/metric_family.h"

namespace dejavu {

namespace {

// Fields of /proc/self/stat that follow the command name (proc(5)).
struct ProcessStat {
  double user_ticks = 0, system_ticks = 0, threads = 0, start_ticks = 0;
  double virtual_bytes = 0, resident_pages = 0;
};

ProcessStat read_stat() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  ProcessStat stat;
  const std::size_t name_end = line.rfind(')');  // the name may hold spaces and brackets
  if (name_end == std::string::npos) return stat;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skip;
  for (int field = 3; field < 14; ++field) fields >> skip;  // state … cmajflt
  fields >> stat.user_ticks >> stat.system_ticks;
  for (int field = 16; field < 20; ++field) fields >> skip;  // cutime … nice
  fields >> stat.threads >> skip >> stat.start_ticks >> stat.virtual_bytes >> stat.resident_pages;
  return stat;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  std::string key;
  while (file >> key) {
    double value = 0;
    if (key == "btime" && file >> value) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

double open_fds() {
  std::error_code error;
  double count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++count;
  }
  return count - 1;  // the one that lists them
}

double max_fds() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessCollector::Collect() const {
  const ProcessStat stat = read_stat();
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  return {
      counter_family("process_cpu_seconds_total", "User and system CPU time spent",
                     (stat.user_ticks + stat.system_ticks) / ticks),
      gauge_family("process_resident_memory_bytes", "Resident memory size",
                   stat.resident_pages * page),
      gauge_family("process_virtual_memory_bytes", "Virtual memory size", stat.virtual_bytes),
      gauge_family("process_open_fds", "Number of open file descriptors", open_fds()),
      gauge_family("process_max_fds", "Maximum number of open file descriptors", max_fds()),
      gauge_family("process_start_time_seconds", "Start time of the process since the Unix epoch",
                   boot_time() + stat.start_ticks / ticks),
      gauge_family("process_threads", "Number of threads of the process", stat.threads),
  };
}

}  // namespace dejavu
