// A chain of layers as a sparse model runs them, sets predicted on the side stream while the main
// stream works: to the bit what comes out when every op is waited for, recorded or not.
#include <catch2/catch.hpp>

#include "tests/backend/backends.h"
#include "tests/backend/op_data.h"
#include "tests/backend/sets.h"

using namespace dejavu;

namespace {

constexpr int kLayers = 4;
constexpr int kHeads = 16;
constexpr int kDim = 64;
constexpr std::int64_t kWidth = kHeads * kDim;
constexpr int kFfn = 3072;
constexpr int kRank = 64;
constexpr int kContext = 40;
constexpr int kPages = (kContext + kKvPageTokens - 1) / kKvPageTokens;
constexpr DType kType = DType::kF16;

Buffer random_bytes(Backend& backend, std::int64_t count, std::mt19937& random) {
  std::vector<std::int8_t> values(static_cast<std::size_t>(count));
  std::uniform_int_distribution<int> any(-127, 127);
  for (auto& value : values) value = static_cast<std::int8_t>(any(random));
  Buffer buffer = std::move(backend.allocate(values.size()).value());
  backend.upload(buffer.data(), values.data(), values.size(), StreamId::kMain);
  return buffer;
}

// Sets as predict() writes them, shared by all layers.
struct SharedSets {
  SharedSets(Backend& backend, int count, int tokens) : units(count) {
    words = std::move(
        backend.allocate(static_cast<std::size_t>(tokens * mask_words(units)) * 4).value());
    ids = std::move(backend.allocate(static_cast<std::size_t>(tokens + 1 + units) * 4).value());
  }
  MaskView mask() const { return {words.as<std::uint32_t>(), units, mask_words(units)}; }
  std::int32_t* union_count(int tokens) const { return ids.as<std::int32_t>() + tokens; }
  // What a previous step might have left.
  void clear(Backend& backend) const {
    for (const Buffer* buffer : {&words, &ids}) {
      const std::vector<std::byte> zeros(buffer->bytes());
      backend.upload(buffer->data(), zeros.data(), zeros.size(), StreamId::kMain);
    }
  }

  int units;
  Buffer words, ids;
};

struct Layer {
  Layer(Backend& backend, std::mt19937& random)
      : qkv(backend, {3 * kWidth, kWidth, kType, {}}),
        out(backend, {kWidth, kWidth, kType, {}}),
        up(backend, {kFfn, kWidth, kType, {}}),
        down(backend, {kFfn, kWidth, kType, {}}),
        keys(backend, {kPages * 32 * kHeads * kKvPageTokens, kDim, kType, {}}),
        values(backend, {kPages * 32 * kHeads * kKvPageTokens, kDim, kType, {}}),
        low(random_bytes(backend, kRank * kWidth, random)),
        scores(random_bytes(backend, kFfn * kRank, random)),
        router(random_bytes(backend, kHeads * kWidth, random)) {
    for (Operand* weights : {&qkv, &out, &up, &down}) weights->randomize(random, 0.03F);
    keys.randomize(random);
    values.randomize(random);
  }
  Operand qkv, out, up, down, keys, values;
  Buffer low, scores, router;
};

class Chain {
 public:
  Chain(Backend& backend, int tokens)
      : backend_(backend),
        tokens_(tokens),
        random_(71),
        residual_(backend, {tokens, kWidth, DType::kF32, {}}),
        start_(backend, {tokens, kWidth, DType::kF32, {}}),
        normed_(backend, {tokens, kWidth, kType, {}}),
        qkv_(backend, {tokens, 3 * kWidth, DType::kF32, {}}),
        context_(backend, {tokens, kWidth, kType, {}}),
        scales_(backend, {2, kFfn, DType::kF32, {}}),
        levels_(backend, std::vector<std::int32_t>(static_cast<std::size_t>(tokens))),
        neurons_(backend, kFfn, tokens),
        heads_(backend, kHeads, tokens),
        scratch_(
            std::move(backend.allocate(backend.sparse_mlp_scratch(tokens, kWidth, kFfn)).value())) {
    for (int l = 0; l < kLayers; ++l) layers_.emplace_back(backend, random_);
    start_.randomize(random_);
    for (std::int64_t i = 0; i < kFfn; ++i) {  // thresholds and biases of zero: half is in
      store_element(scales_.host().row(0), DType::kF32, static_cast<std::size_t>(i), 1e-3F);
      store_element(scales_.host().row(1), DType::kF32, static_cast<std::size_t>(i), 0.0F);
    }
    scales_.upload();
    std::vector<std::int32_t> starts{0}, contexts, table, positions, slots;
    for (int s = 0; s < tokens; ++s) {
      starts.push_back(s + 1);
      contexts.push_back(kContext);
      positions.push_back(kContext - 1);
      for (int p = 0; p < kPages; ++p) table.push_back(s * kPages + p);
      slots.push_back(s * kPages * kKvPageTokens + kContext - 1);
    }
    for (auto* list : {&starts, &contexts, &table, &positions, &slots})
      places_.push_back(std::make_unique<Indices>(backend, *list));
  }

  void reset() {
    neurons_.clear(backend_);
    heads_.clear(backend_);
    residual_.poison();
    EmbedArgs copy;
    copy.ids = rows().device();
    copy.token_table = start_.device();
    copy.out = residual_.device();
    backend_.embed(copy, StreamId::kMain);
  }

  // `apart`: every op is waited for.
  void run(bool apart) {
    const auto done = [&] {
      if (!apart) return;
      (void)backend_.synchronize(StreamId::kMain);
      (void)backend_.synchronize(StreamId::kSide);
    };
    const auto fork = [&] { backend_.order(StreamId::kMain, StreamId::kSide); };
    const auto join = [&] { backend_.order(StreamId::kSide, StreamId::kMain); };
    for (int l = 0; l < kLayers; ++l) {
      Layer& layer = layers_[static_cast<std::size_t>(l)];
      norm();
      done();
      fork();
      attend(layer, l > 0, done);
      predict(neurons_of(layer), neurons_);
      join();
      done();
      project(layer, l > 0);
      done();
      norm();
      done();
      fork();
      up(layer);
      done();
      if (l + 1 < kLayers) predict(router_of(layers_[static_cast<std::size_t>(l) + 1]), heads_);
      join();
      done();
      backend_.sparse_mlp_add({scratch_.data(), kFfn, nullptr, residual_.device()},
                              StreamId::kMain);
      done();
    }
  }

  std::vector<unsigned char> result() { return bits_of(residual_); }

 private:
  const Indices& rows() {
    if (rows_ == nullptr) {
      std::vector<std::int32_t> ids;
      for (int t = 0; t < tokens_; ++t) ids.push_back(t);
      rows_ = std::make_unique<Indices>(backend_, ids);
    }
    return *rows_;
  }

  void norm() {
    NormArgs args;
    args.x = residual_.device();
    args.out = normed_.device();
    backend_.norm(args, StreamId::kMain);
  }

  template <class Done>
  void attend(Layer& layer, bool masked, const Done& done) {
    LinearArgs linear{normed_.device(), layer.qkv.device(), nullptr, qkv_.device()};
    if (masked && tokens_ == 1) {
      linear.row_mask = heads_.mask();
      linear.group_rows = kDim;
    }
    backend_.linear(linear, StreamId::kMain);
    done();
    const KvView cache{layer.keys.device().data,
                       layer.values.device().data,
                       kType,
                       kPages * tokens_,
                       kHeads,
                       kDim};
    const auto part = [&](int index) {
      Matrix m = qkv_.device();
      m.data = static_cast<float*>(m.data) + index * kWidth;
      m.cols = kWidth;
      return m;
    };
    backend_.store_kv({part(0), part(1), part(2), places_[3]->device(), places_[4]->device(),
                       nullptr, nullptr, cache},
                      StreamId::kMain);
    done();
    AttentionArgs args;
    args.q = part(0);
    args.cache = cache;
    args.sequences = tokens_;
    args.query_start = places_[0]->device();
    args.context_length = places_[1]->device();
    args.page_table = places_[2]->device();
    args.page_table_stride = kPages;
    args.scale = 0.125F;
    args.out = context_.device();
    if (masked) args.mask = heads_.mask();
    backend_.attention(args, StreamId::kMain);
    done();
  }

  void project(Layer& layer, bool masked) {
    ProjectArgs args{context_.device(), layer.out.device(), nullptr, residual_.device(), true};
    if (masked && tokens_ == 1) {
      args.skip_zero_rows = true;
      args.row_mask = heads_.mask();
      args.group_rows = kDim;
    }
    backend_.project(args, StreamId::kMain);
  }

  void up(Layer& layer) {
    SparseMlpArgs args;
    args.up.x = normed_.device();
    args.up.up = layer.up.device();
    args.up.mask = neurons_.mask();
    args.down = layer.down.device();
    args.union_count = neurons_.union_count(tokens_);
    args.union_ids = args.union_count + 1;
    args.scratch = scratch_.data();
    backend_.sparse_mlp(args, StreamId::kMain);
  }

  PredictorView router_of(const Layer& layer) {
    PredictorView view;
    view.up = layer.router.as<std::int8_t>();
    view.up_scale = scales_.device_floats();
    view.bias = view.thresholds = view.up_scale + kFfn;
    view.input = view.rank = kWidth;
    view.units = kHeads;
    return view;
  }
  PredictorView neurons_of(const Layer& layer) {
    PredictorView view = router_of(layer);
    view.down = layer.low.as<std::int8_t>();
    view.down_scale = view.up_scale;
    view.up = layer.scores.as<std::int8_t>();
    view.rank = kRank;
    view.units = kFfn;
    return view;
  }
  void predict(const PredictorView& predictor, const SharedSets& sets) {
    PredictArgs args;
    args.x = residual_.device();
    args.level = levels_.device();
    args.predictor = predictor;
    args.mask = sets.mask();
    args.counts = sets.ids.as<std::int32_t>();
    args.union_count = sets.union_count(tokens_);
    args.union_ids = args.union_count + 1;
    backend_.predict(args, StreamId::kSide);
  }

  Backend& backend_;
  int tokens_;
  std::mt19937 random_;
  Operand residual_, start_, normed_, qkv_, context_, scales_;
  Indices levels_;
  SharedSets neurons_, heads_;
  Buffer scratch_;
  std::vector<Layer> layers_;
  std::vector<std::unique_ptr<Indices>> places_;
  std::unique_ptr<Indices> rows_;
};

}  // namespace

TEST_CASE("predicted sets steer the layers that wait for them, recorded or not") {
  for (const NamedBackend& named : test_backends()) {
    for (const int tokens : {1, 2, 5, 16, 32}) {
      Chain chain(*named.backend, tokens);
      chain.reset();
      chain.run(true);
      const auto want = chain.result();
      for (int again = 0; again < 12; ++again) {
        INFO("tokens " << tokens << ", time " << again);
        chain.reset();
        if (again < 4) {
          chain.run(false);
        } else {
          named.backend->replay({tokens}, [&] { chain.run(false); });
        }
        CHECK((chain.result() == want));
      }
    }
  }
}
