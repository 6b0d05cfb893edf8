// Everything the command line, the environment and a TOML file can say, as the options structs that
// the classes own. Made by parse_command_line() (config/command_line.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/options.h"
#include "engine/backend/options.h"
#include "engine/options.h"
#include "server/admin/options.h"
#include "server/cli/options.h"
#include "server/grpc/options.h"
#include "server/http/options.h"
#include "server/load/options.h"
#include "server/options.h"
#include "sparsity/calibration/options.h"
#include "sparsity/evaluation/options.h"
#include "sparsity/options.h"

namespace dejavu {

enum class DTypeChoice : std::uint8_t { kAuto, kF32, kBF16, kF16 };

struct ModelOptions {
  std::string model;     // directory or org/name on the hub; empty: the embedded demo model
  bool offline = false;  // nothing is fetched from the hub
  DTypeChoice dtype = DTypeChoice::kAuto;
  int max_model_len = 0;  // 0: the model's own
};

struct FileOptions {
  std::string config_file;  // TOML
  bool print_config = false;
};

struct Config {
  FileOptions file;
  ModelOptions model;
  BackendOptions backend;
  EngineOptions engine;
  SparsityOptions sparsity;
  TextOptions text;
  EvaluationOptions evaluation;
  CalibrationOptions calibration;
  ServiceOptions service;
  HttpOptions http;
  GrpcOptions grpc;
  LogOptions log;
  MetricsOptions metrics;
  AppOptions app;
  ClientOptions client;
  GenerateOptions generate;
  HealthOptions health;
  StepBenchOptions bench;
  LoadOptions load;
};

}  // namespace dejavu
