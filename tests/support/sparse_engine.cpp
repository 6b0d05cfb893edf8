#include "tests/support/sparse_engine.h"

#include <algorithm>
#include <random>
#include <stdexcept>

#include "engine/backend/factory.h"

namespace dejavu {
namespace {

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return *std::move(result);
}

Crossover crossover_for(ReadMethod method) {
  // Above any share, or below.
  constexpr double kAlways = 2;
  Crossover crossover;
  if (method == ReadMethod::kGather) crossover.gather.fill(kAlways);
  if (method != ReadMethod::kWhole) crossover.skip_zeros.fill(kAlways);
  return crossover;
}

}  // namespace

SimulatedDevice::SimulatedDevice(Backend& cpu) : ForwardingBackend(cpu), info_(cpu.info()) {
  info_.asynchronous = true;
}

void SimulatedDevice::order(StreamId before, StreamId after) {
  ForwardingBackend::order(before, after);
  now(after) = std::max(now(after), now(before));
}

void SimulatedDevice::sparse_mlp(const SparseMlpArgs& args, StreamId stream) {
  ForwardingBackend::sparse_mlp(args, stream);
  now(stream) += kMlp;
}

void SimulatedDevice::predict(const PredictArgs& args, StreamId stream) {
  ForwardingBackend::predict(args, stream);
  now(stream) += kPredict;
}

SparseEngine::SparseEngine(const Setup& setup) {
  BackendOptions backend_options;
  backend_options.device = DeviceChoice::kCpu;
  backend_options.threads = setup.threads;
  cpu = value_of(make_backend(backend_options));
  if (setup.simulated) device = std::make_unique<SimulatedDevice>(*cpu);
  Backend& backend = setup.simulated ? *device : *cpu;
  SparsityRuntime::Parts parts;
  parts.options = setup.options;
  parts.artifact = random_artifact(setup.config, setup.artifact);
  parts.crossover = crossover_for(setup.method);
  runtime = std::make_unique<SparsityRuntime>(std::move(parts));
  TransformerOptions model_options;
  model_options.dtype = setup.dtype;
  model_options.layers = runtime.get();
  auto model = value_of(Transformer::random(setup.config, backend, model_options, 1));
  if (Status prepared = runtime->prepare(); !prepared)
    throw std::runtime_error(prepared.error().message);
  EngineOptions options;
  options.prefix_caching = setup.prefix_caching;
  options.target_step_seconds = setup.step_seconds;
  options.kv_cache_bytes =
      static_cast<std::size_t>(setup.kv_pages) * model->kv_shape().page_bytes();
  engine = value_of(
      create_engine(backend, std::move(model), options, setup.launch_ahead, runtime.get()));
  engine->start();
}

SparseQuestion sparse_question(unsigned seed, int prompt, SparsityChoice sparsity) {
  std::mt19937 random(seed);
  SparseQuestion question;
  for (int i = 0; i < prompt; ++i)
    question.prompt.push_back(static_cast<std::int32_t>(4 + random() % 90));
  question.params.temperature = seed % 2 == 0 ? 0.0F : 0.8F;
  question.params.seed = seed;
  question.params.max_tokens = 24;
  question.params.logprobs = 5;
  question.params.ignore_eos = true;
  question.sparsity = sparsity;
  return question;
}

std::vector<Answer> ask_all(Engine& engine, const std::vector<SparseQuestion>& questions) {
  std::vector<Listener> listeners;
  std::vector<SequenceRequest> requests;
  for (const SparseQuestion& question : questions) {
    listeners.emplace_back(question.params.max_tokens);
    requests.push_back(make_request(question.prompt, question.params, listeners.back()));
    requests.back().sparsity = question.sparsity;
    requests.back().priority = question.priority;
  }
  if (Status submitted = engine.submit(std::move(requests)); !submitted)
    throw std::runtime_error(submitted.error().message);
  std::vector<Answer> answers;
  for (Listener& listener : listeners) {
    answers.push_back(listener.wait());
    if (answers.back().finish != FinishReason::kLength)
      throw std::runtime_error("an answer ended early: " + answers.back().error.message);
  }
  return answers;
}

}  // namespace dejavu
