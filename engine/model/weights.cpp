#include "engine/model/weights.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/model/parallel.h"
#include "engine/model/tensor_names.h"

namespace dejavu {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{16} << 20;

// One tensor, or its transpose, as columns [column, column + width) of a destination's rows.
struct Piece {
  TensorSpec spec;
  bool transposed = false;
  std::int64_t column = 0;
};

// Pieces side by side that fill `out`, rows of backend memory without gaps.
struct Fill {
  Matrix out;
  std::vector<Piece> pieces;
  std::size_t stored_bytes = 0;
};

// Checks every tensor and allocates its place; then runs the fills.
class Loader {
 public:
  Loader(const WeightLoadArgs& args, Backend& backend) : args_(args), backend_(backend) {
    weights_.dtype = args.dtype;
  }

  Result<Weights> load() {
    const ModelConfig& config = args_.config;
    Status planned = plan_embeddings();
    weights_.layers.resize(static_cast<std::size_t>(config.layers));
    const std::size_t shared_bytes = weights_.bytes;
    for (int layer = 0; planned && layer < config.layers; ++layer) planned = plan_layer(layer);
    if (planned) planned = args_.source.check_rest();
    if (!planned) return tl::unexpected(planned.error());
    weights_.decode_bytes = weights_.bytes - shared_bytes + size_of(weights_.head) +
                            size_of(weights_.project_out) + final_norm_bytes_;
    for (const Fill& fill : fills_)
      if (Status filled = run(fill); !filled) return tl::unexpected(filled.error());
    if (Status folded = fold_project_in(); !folded) return tl::unexpected(folded.error());
    return std::move(weights_);
  }

 private:
  static std::size_t size_of(const ConstMatrix& m) {
    return m.data == nullptr ? 0 : static_cast<std::size_t>(m.rows * m.cols) * dtype_size(m.dtype);
  }

  std::string named(std::string_view name) const { return args_.prefix + std::string(name); }

  Result<Matrix> allocate(std::int64_t rows, std::int64_t cols, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(rows * cols) * dtype_size(dtype);
    auto buffer = backend_.allocate(bytes);
    if (!buffer) return tl::unexpected(buffer.error());
    const Matrix matrix{buffer->data(), dtype, rows, cols, cols};
    weights_.storage.push_back(std::move(*buffer));
    weights_.bytes += bytes;
    return matrix;
  }

  Status plan(const Matrix& out, std::vector<Piece> pieces) {
    std::size_t stored = 0;
    for (const Piece& piece : pieces) {
      const auto bytes = args_.source.check(piece.spec);
      if (!bytes) return tl::unexpected(bytes.error());
      stored += *bytes;
    }
    total_bytes_ += stored;
    fills_.push_back({out, std::move(pieces), stored});
    return {};
  }

  // A whole tensor [rows][cols] in the compute dtype.
  Status plan_matrix(std::string name, std::int64_t rows, std::int64_t cols, ConstMatrix& out) {
    const auto place = allocate(rows, cols, args_.dtype);
    if (!place) return tl::unexpected(place.error());
    out = *place;
    return plan(*place, {{{std::move(name), {rows, cols}}}});
  }

  // The same, of a tensor stored as [cols][rows].
  Status plan_transposed(std::string name, std::int64_t rows, std::int64_t cols, ConstMatrix& out) {
    const auto place = allocate(rows, cols, args_.dtype);
    if (!place) return tl::unexpected(place.error());
    out = *place;
    return plan(*place, {{{std::move(name), {cols, rows}}, true}});
  }

  // An F32 vector made of the named tensors, one after another.
  Status plan_vector(const std::vector<TensorSpec>& parts, const float*& out) {
    std::int64_t size = 0;
    for (const TensorSpec& part : parts) size += part.cols();
    const auto place = allocate(1, size, DType::kF32);
    if (!place) return tl::unexpected(place.error());
    out = static_cast<const float*>(place->data);
    std::vector<Piece> pieces;
    std::int64_t column = 0;
    for (const TensorSpec& part : parts) {
      pieces.push_back({part, false, column});
      column += part.cols();
    }
    return plan(*place, std::move(pieces));
  }

  Status plan_norm(const std::string& module, NormWeights& out) {
    const ModelConfig& config = args_.config;
    if (!config.norm_affine) return {};
    Status planned = plan_vector({{module + ".weight", {config.hidden_size}}}, out.weight);
    if (!planned || config.norm == NormKind::kRmsNorm) return planned;
    return plan_vector({{module + ".bias", {config.hidden_size}}}, out.bias);
  }

  Status plan_embeddings() {
    const ModelConfig& config = args_.config;
    const std::int64_t d = config.hidden_size;
    const std::int64_t embedding = config.embedding_size;
    const std::int64_t vocab = config.vocab_size;
    Status planned = plan_matrix(named(kTokenTable), vocab, embedding, weights_.tokens);
    if (planned && config.learned_positions)
      planned = plan_matrix(named("embed_positions.weight"), config.max_position + 2, d,
                            weights_.positions);
    if (planned && embedding != d) {
      planned = plan_matrix(named("project_in.weight"), d, embedding, project_in_);
      if (planned)
        planned = plan_matrix(named("project_out.weight"), embedding, d, weights_.project_out);
    }
    weights_.head = weights_.tokens;
    if (planned && !config.tied_head)
      planned = plan_matrix(std::string(kHead), vocab, embedding, weights_.head);
    const std::size_t before = weights_.bytes;
    if (planned && config.final_norm)
      planned = plan_norm(named(config.family == ModelFamily::kOpt ? "final_layer_norm" : "norm"),
                          weights_.final_norm);
    final_norm_bytes_ = weights_.bytes - before;
    return planned;
  }

  Status plan_layer(int index) {
    const LayerNames names = layer_names(args_.config.family);
    const std::string base = named("layers." + std::to_string(index) + ".");
    LayerWeights& layer = weights_.layers[static_cast<std::size_t>(index)];
    Status planned = plan_norm(base + std::string(names.attention_norm), layer.attention_norm);
    if (planned) planned = plan_attention(base, names, layer.attention);
    if (planned) planned = plan_norm(base + std::string(names.mlp_norm), layer.mlp_norm);
    if (planned) planned = plan_mlp(base, names, layer.mlp);
    return planned;
  }

  Status plan_attention(const std::string& base, const LayerNames& names, AttentionWeights& out) {
    const ModelConfig& config = args_.config;
    const std::int64_t d = config.hidden_size;
    const std::int64_t q = static_cast<std::int64_t>(config.heads) * config.head_dim;
    const std::int64_t kv = static_cast<std::int64_t>(config.kv_heads) * config.head_dim;
    const auto qkv = allocate(q + 2 * kv, d, args_.dtype);
    if (!qkv) return tl::unexpected(qkv.error());
    out.qkv = *qkv;
    const std::pair<std::string, std::int64_t> parts[] = {{base + std::string(names.q), q},
                                                          {base + std::string(names.k), kv},
                                                          {base + std::string(names.v), kv}};
    std::vector<TensorSpec> biases;
    std::int64_t row = 0;
    for (const auto& [module, rows] : parts) {
      Status planned =
          plan({qkv->row(row), qkv->dtype, rows, d, d}, {{{module + ".weight", {rows, d}}}});
      if (!planned) return planned;
      biases.push_back({module + ".bias", {rows}});
      row += rows;
    }
    if (config.qkv_bias)
      if (Status planned = plan_vector(biases, out.qkv_bias); !planned) return planned;

    const std::string module = base + std::string(names.out);
    Status planned = plan_transposed(module + ".weight", q, d, out.out);
    if (planned && config.attention_out_bias)
      planned = plan_vector({{module + ".bias", {d}}}, out.out_bias);
    return planned;
  }

  Status plan_mlp(const std::string& base, const LayerNames& names, MlpWeights& out) {
    const ModelConfig& config = args_.config;
    const std::int64_t d = config.hidden_size;
    const std::int64_t ffn = config.ffn_size;
    const std::string gate = base + std::string(names.gate);
    const std::string up = base + std::string(names.up);
    const std::string down = base + std::string(names.down);
    Status planned;
    if (config.gated_mlp) planned = plan_matrix(gate + ".weight", ffn, d, out.gate);
    if (planned) planned = plan_matrix(up + ".weight", ffn, d, out.up);
    if (planned) planned = plan_transposed(down + ".weight", ffn, d, out.down);
    if (!planned || !config.mlp_bias) return planned;
    if (config.gated_mlp) planned = plan_vector({{gate + ".bias", {ffn}}}, out.gate_bias);
    if (planned) planned = plan_vector({{up + ".bias", {ffn}}}, out.up_bias);
    if (planned) planned = plan_vector({{down + ".bias", {d}}}, out.down_bias);
    return planned;
  }

  // Through host memory, a block of rows at a time.
  Status run(const Fill& fill) {
    const std::size_t row_bytes =
        static_cast<std::size_t>(fill.out.cols) * dtype_size(fill.out.dtype);
    const auto block =
        static_cast<std::int64_t>(std::max<std::size_t>(1, kStagingBytes / row_bytes));
    for (const Piece& piece : fill.pieces) args_.source.begin(piece.spec);
    for (std::int64_t begin = 0; begin < fill.out.rows; begin += block) {
      const std::int64_t rows = std::min(block, fill.out.rows - begin);
      const std::size_t bytes = static_cast<std::size_t>(rows) * row_bytes;
      staging_.resize(std::max(staging_.size(), bytes));
      parallel_rows(rows, [&](std::int64_t first, std::int64_t last) {
        read_rows(fill, begin, first, last);
      });
      backend_.upload(fill.out.row(begin), staging_.data(), bytes, StreamId::kMain);
      if (Status done = backend_.synchronize(StreamId::kMain); !done) return done;
      if (args_.progress) {
        const double share = static_cast<double>(begin + rows) / static_cast<double>(fill.out.rows);
        const auto now = static_cast<std::size_t>(share * static_cast<double>(fill.stored_bytes));
        args_.progress(done_bytes_ + now, total_bytes_);
      }
    }
    for (const Piece& piece : fill.pieces) args_.source.end(piece.spec);
    done_bytes_ += fill.stored_bytes;
    return {};
  }

  // Rows [begin + first, begin + last) of the destination into rows [first, last) of the staging.
  void read_rows(const Fill& fill, std::int64_t begin, std::int64_t first, std::int64_t last) {
    const Matrix staging{staging_.data(), fill.out.dtype, last, fill.out.cols, fill.out.cols};
    for (const Piece& piece : fill.pieces) {
      const std::int64_t width = piece.transposed ? piece.spec.rows() : piece.spec.cols();
      auto* corner = static_cast<std::byte*>(staging.row(first)) +
                     static_cast<std::size_t>(piece.column) * dtype_size(staging.dtype);
      const Matrix out{corner, staging.dtype, last - first, width, staging.stride};
      args_.source.read(piece.spec, {piece.transposed, begin + first, out});
    }
  }

  // OPT-350M projects token embeddings up to the model's width: the product of the two tables is a
  // token table like any other. The head keeps the narrow one.
  Status fold_project_in() {
    if (project_in_.data == nullptr) return {};
    const ConstMatrix narrow = weights_.tokens;
    const auto folded = allocate(narrow.rows, project_in_.rows, args_.dtype);
    if (!folded) return tl::unexpected(folded.error());
    backend_.linear({narrow, project_in_, nullptr, *folded}, StreamId::kMain);
    weights_.tokens = *folded;
    return backend_.synchronize(StreamId::kMain);
  }

  const WeightLoadArgs& args_;
  Backend& backend_;
  Weights weights_;
  ConstMatrix project_in_;
  std::size_t final_norm_bytes_ = 0;
  std::vector<Fill> fills_;
  std::vector<std::byte> staging_;
  std::size_t total_bytes_ = 0;
  std::size_t done_bytes_ = 0;
};

}  // namespace

Result<Weights> load_weights(const WeightLoadArgs& args, Backend& backend) {
  return Loader(args, backend).load();
}

}  // namespace dejavu
