// predict against the double reference: a unit's membership may differ only where its score lies
// at its threshold.
#include <catch2/catch.hpp>
#include <functional>

#include "engine/backend/cpu/isa.h"
#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"

using namespace dejavu;

namespace {

struct Shape {
  int input;
  int rank;
  int units;
  bool down;
};

const std::vector<Shape> kShapes = {
    {384, 128, 1536, true}, {33, 7, 83, true},     {200, 64, 31, true}, {64, 64, 6, false},
    {130, 130, 40, false},  {2048, 128, 96, true}, {1, 1, 1, true},     {600, 100, 333, true}};
constexpr int kLevels = 3;

std::vector<std::int8_t> random_bytes(std::size_t count, std::mt19937& random) {
  std::uniform_int_distribution<int> any(-127, 127);
  std::vector<std::int8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::int8_t>(any(random));
  return bytes;
}

std::vector<float> random_floats(std::size_t count, float low, float high, std::mt19937& random) {
  std::uniform_real_distribution<float> any(low, high);
  std::vector<float> values(count);
  for (auto& value : values) value = any(random);
  return values;
}

// A predictor on the host, and its copy on a backend.
struct Predictor {
  Predictor(const Shape& of, std::mt19937& random) : shape(of) {
    const auto size = [](int a, int b) {
      return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
    };
    down = random_bytes(shape.down ? size(shape.rank, shape.input) : 0, random);
    up = random_bytes(size(shape.units, shape.rank), random);
    const float unit = 1.0F / (73.0F * std::sqrt(static_cast<float>(shape.input)));
    down_scale = random_floats(size(shape.rank, 1), 0.5F * unit, unit, random);
    const float second = 1.0F / (73.0F * std::sqrt(static_cast<float>(shape.rank)));
    up_scale = random_floats(size(shape.units, 1), 0.5F * second, second, random);
    bias = random_floats(size(shape.units, 1), -0.3F, 0.3F, random);
    thresholds = random_floats(size(shape.units, kLevels), -0.5F, 0.5F, random);
    for (std::size_t u = 0; u < bias.size(); u += 5) thresholds[bias.size() + u] = -INFINITY;
  }

  template <class T>
  const T* copy(Backend& backend, const std::vector<T>& values) {
    if (values.empty()) return nullptr;
    const std::size_t bytes = values.size() * sizeof(T);
    buffers.push_back(std::move(backend.allocate(bytes).value()));
    backend.upload(buffers.back().data(), values.data(), bytes, StreamId::kMain);
    return buffers.back().template as<T>();
  }
  PredictorView on(Backend& backend) {
    PredictorView view;
    view.down = copy(backend, down);
    view.down_scale = copy(backend, down_scale);
    view.up = copy(backend, up);
    view.up_scale = copy(backend, up_scale);
    view.bias = copy(backend, bias);
    view.thresholds = copy(backend, thresholds);
    view.input = shape.input;
    view.rank = shape.rank;
    view.units = shape.units;
    return view;
  }

  std::vector<double> scores(Operand& x, std::int64_t token) const {
    const auto input = static_cast<std::size_t>(shape.input);
    const auto rank = static_cast<std::size_t>(shape.rank);
    std::vector<double> z(input);
    double square = 0;
    for (std::size_t i = 0; i < input; ++i) {
      z[i] = x.at(token, static_cast<std::int64_t>(i));
      square += z[i] * z[i];
    }
    for (auto& value : z) value /= std::sqrt(square / shape.input + 1e-6);
    std::vector<double> low = z;
    if (shape.down) {
      low.assign(rank, 0);
      for (std::size_t r = 0; r < rank; ++r) {
        for (std::size_t i = 0; i < input; ++i) low[r] += z[i] * down[r * input + i];
        low[r] *= static_cast<double>(down_scale[r]);
      }
    }
    std::vector<double> scores(bias.begin(), bias.end());
    for (std::size_t u = 0; u < scores.size(); ++u) {
      double sum = 0;
      for (std::size_t r = 0; r < rank; ++r) sum += low[r] * up[u * rank + r];
      scores[u] += sum * static_cast<double>(up_scale[u]);
    }
    return scores;
  }

  Shape shape;
  std::vector<std::int8_t> down, up;
  std::vector<float> down_scale, up_scale, bias, thresholds;
  std::vector<Buffer> buffers;
};

struct Answer {
  std::vector<std::uint32_t> words;
  std::vector<std::int32_t> counts, ids;
  std::int32_t union_count = 0;
};

struct Call {
  Operand& x;
  const Indices& level;
  PredictorView predictor;
};

// `meanwhile`: what the main stream does after it has waited for the predictor on the side stream;
// null: the predictor runs on the main stream.
Answer predict(Backend& backend, const Call& call, std::int64_t first, std::int64_t count,
               const std::function<void()>& meanwhile = nullptr) {
  const int stride = mask_words(call.predictor.units) + 1;
  const auto bytes = [](std::int64_t values) { return static_cast<std::size_t>(values) * 4; };
  Buffer words = std::move(backend.allocate(bytes(count * stride + 1)).value());
  Buffer counts = std::move(backend.allocate(bytes(count + 1)).value());
  Buffer ids = std::move(backend.allocate(bytes(call.predictor.units)).value());
  Buffer total = std::move(backend.allocate(4).value());
  const Matrix x = call.x.device();
  PredictArgs args;
  args.x = {x.row(first), x.dtype, count, x.cols, x.stride};
  args.level = call.level.device() + first;
  args.predictor = call.predictor;
  args.mask = {words.as<std::uint32_t>(), call.predictor.units, stride};
  args.counts = counts.as<std::int32_t>();
  args.union_ids = ids.as<std::int32_t>();
  args.union_count = total.as<std::int32_t>();
  if (meanwhile) {
    backend.order(StreamId::kMain, StreamId::kSide);
    backend.predict(args, StreamId::kSide);
    backend.order(StreamId::kSide, StreamId::kMain);
    meanwhile();
  } else {
    backend.predict(args, StreamId::kMain);
  }
  Answer answer;
  std::vector<std::uint32_t> all(static_cast<std::size_t>(count * stride));
  backend.download(all.data(), words.data(), all.size() * 4, StreamId::kMain);
  (void)backend.synchronize(StreamId::kMain);
  for (std::int64_t t = 0; t < count; ++t) {
    const auto row = all.begin() + t * stride;
    answer.words.insert(answer.words.end(), row, row + stride - 1);
  }
  answer.counts.resize(static_cast<std::size_t>(count));
  backend.download(answer.counts.data(), counts.data(), bytes(count), StreamId::kMain);
  backend.download(&answer.union_count, total.data(), 4, StreamId::kMain);
  (void)backend.synchronize(StreamId::kMain);
  answer.ids.resize(static_cast<std::size_t>(answer.union_count));
  backend.download(answer.ids.data(), ids.data(), bytes(answer.union_count), StreamId::kMain);
  (void)backend.synchronize(StreamId::kMain);
  return answer;
}

// Counts and the union are those of the mask, and no bit stands past the units.
void check_consistent(const Answer& answer, int units, std::int64_t tokens) {
  const auto words = static_cast<std::size_t>(mask_words(units));
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> counts(static_cast<std::size_t>(tokens), 0);
  for (std::size_t u = 0; u < 32 * words; ++u) {
    bool any = false;
    for (std::size_t t = 0; t < counts.size(); ++t) {
      if ((answer.words[t * words + u / 32] >> (u % 32) & 1U) == 0) continue;
      any = true;
      ++counts[t];
    }
    if (any) ids.push_back(static_cast<std::int32_t>(u));
  }
  CHECK(answer.counts == counts);
  CHECK(answer.ids == ids);
  CHECK((ids.empty() || ids.back() < units));
}

}  // namespace

TEST_CASE("predict chooses the units whose scores reach their thresholds") {
  for (const NamedBackend& named : test_backends()) {
    for (const Shape& shape : kShapes) {
      for (const std::int64_t tokens : {0, 1, 3, 16, 17, 40}) {
        for (const Layout layout : {Layout{}, Layout{3, 1}}) {
          INFO(named.name << " input " << shape.input << " rank " << shape.rank << " units "
                          << shape.units << " tokens " << tokens << " offset " << layout.offset);
          std::mt19937 random(21);
          Predictor predictor(shape, random);
          Operand x(*named.backend, {tokens, shape.input, DType::kF32, layout});
          x.randomize(random, 4.0F);
          std::vector<std::int32_t> levels = {-1};
          for (std::int64_t t = 0; t < tokens; ++t)
            levels.push_back(static_cast<std::int32_t>((t + 2) % (kLevels + 1)) - 1);
          levels.erase(levels.begin());
          if (levels.empty()) levels.push_back(-1);
          const Indices level(*named.backend, levels);
          const Call call{x, level, predictor.on(*named.backend)};
          const Answer answer = predict(*named.backend, call, 0, tokens);
          check_consistent(answer, shape.units, tokens);
          std::int64_t wrong = 0;
          std::int64_t unclear = 0;
          for (std::int64_t t = 0; t < tokens; ++t) {
            const std::vector<double> scores = predictor.scores(x, t);
            const std::int32_t own = level.host()[t];
            for (std::size_t u = 0; u < scores.size(); ++u) {
              const std::size_t words = static_cast<std::size_t>(mask_words(shape.units));
              const auto word = answer.words[static_cast<std::size_t>(t) * words + u / 32];
              const bool in = (word >> (u % 32) & 1U) != 0;
              const std::size_t place = static_cast<std::size_t>(std::max(own, 0)) * scores.size();
              const auto threshold = static_cast<double>(predictor.thresholds[place + u]);
              const double margin = own < 0 ? 1.0 : scores[u] - threshold;
              unclear += std::abs(margin) < 2e-3 ? 1 : 0;
              wrong += std::abs(margin) < 2e-3 || in == (margin >= 0) ? 0 : 1;
            }
          }
          CHECK(wrong == 0);
          CHECK(unclear <= 1 + tokens * shape.units / 50);
        }
      }
    }
  }
}

TEST_CASE("predict gives a token the same set in any batch and on one thread or two") {
  for (const CpuIsa isa : supported_isas()) {
    BackendOptions options;
    options.cpu_isa = isa_name(isa);
    options.threads = 1;
    const auto one = std::move(make_cpu_backend(options).value());
    options.threads = 2;
    const auto two = std::move(make_cpu_backend(options).value());
    for (const Shape& shape : kShapes) {
      INFO(isa_name(isa) << " units " << shape.units);
      constexpr std::int64_t kTokens = 40;
      std::mt19937 random(22);
      Predictor predictor(shape, random);
      Operand x(*one, {kTokens, shape.input, DType::kF32, {}});
      x.randomize(random, 2.0F);
      std::vector<std::int32_t> levels;
      for (std::int64_t t = 0; t < kTokens; ++t) {
        levels.push_back(t % 7 == 3 ? -1 : static_cast<std::int32_t>(t % kLevels));
      }
      const Indices level(*one, levels);
      const Call call{x, level, predictor.on(*one)};
      std::vector<std::uint32_t> alone;
      for (std::int64_t t = 0; t < kTokens; ++t) {
        const Answer answer = predict(*one, call, t, 1);
        alone.insert(alone.end(), answer.words.begin(), answer.words.end());
      }
      for (Backend* backend : {one.get(), two.get()}) {
        for (const std::int64_t chunk : {1, 2, 15, 16, 17, 40}) {
          std::vector<std::uint32_t> words;
          for (std::int64_t t = 0; t < kTokens; t += chunk) {
            const Answer answer = predict(*backend, call, t, std::min(chunk, kTokens - t));
            words.insert(words.end(), answer.words.begin(), answer.words.end());
          }
          CHECK(words == alone);
        }
      }
    }
  }
}

TEST_CASE(
    "sets predicted on the side stream are of the tokens as they were, with one and two threads") {
  for (const CpuIsa isa : supported_isas()) {
    BackendOptions options;
    options.cpu_isa = isa_name(isa);
    for (const int threads : {1, 2}) {
      options.threads = threads;
      const auto backend = std::move(make_cpu_backend(options).value());
      for (const Shape& shape : kShapes) {
        for (const std::int64_t tokens : {1, 5, 33}) {
          INFO(isa_name(isa) << " units " << shape.units << " tokens " << tokens);
          std::mt19937 random(23);
          Predictor predictor(shape, random);
          Operand x(*backend, {tokens, shape.input, DType::kF32, {}});
          x.randomize(random, 2.0F);
          const Indices level(*backend,
                              std::vector<std::int32_t>(static_cast<std::size_t>(tokens)));
          const Call call{x, level, predictor.on(*backend)};
          const Answer expected = predict(*backend, call, 0, tokens);
          Operand heads(*backend, {tokens, 300, DType::kF32, {}});
          Operand weights(*backend, {300, shape.input, DType::kF32, {}});
          heads.randomize(random, 1.0F);
          weights.randomize(random, 1.0F);
          const DeferredPredictTime before = backend->deferred_predict_time();
          const Answer answer = predict(*backend, call, 0, tokens, [&] {
            backend->project({heads.device(), weights.device(), nullptr, x.device(), true},
                             StreamId::kMain);
          });
          CHECK(answer.words == expected.words);
          CHECK(answer.counts == expected.counts);
          CHECK(answer.ids == expected.ids);
          CHECK(backend->deferred_predict_time().beside > before.beside);
        }
      }
    }
  }
}

TEST_CASE("a stamp comes after what its stream did before") {
  for (const NamedBackend& named : test_backends()) {
    Backend& backend = *named.backend;
    const Buffer memory = std::move(backend.allocate(3 * sizeof(std::int64_t)).value());
    auto* stamps = memory.as<std::int64_t>();
    backend.stamp(stamps, StreamId::kMain);
    backend.order(StreamId::kMain, StreamId::kSide);
    backend.stamp(stamps + 1, StreamId::kSide);
    backend.measure_read_bandwidth(std::size_t{64} << 20);
    backend.order(StreamId::kSide, StreamId::kMain);
    backend.stamp(stamps + 2, StreamId::kMain);
    std::array<std::int64_t, 3> host{};
    backend.download(host.data(), stamps, sizeof host, StreamId::kMain);
    REQUIRE(backend.synchronize(StreamId::kMain));
    CHECK(host[0] > 0);
    CHECK(host[1] >= host[0]);
    CHECK(host[2] > host[1]);
    CHECK(host[2] - host[0] < 60'000'000'000);
  }
}
