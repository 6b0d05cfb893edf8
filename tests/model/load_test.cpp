// Whole model directories, right and wrong: each fault gets one message that names file and tensor.
#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/backend/factory.h"
#include "engine/model/transformer.h"
#include "tests/support/tensor_file.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(DEJAVU_SOURCE_DIR) / "tests/model/golden";
const fs::path kOpt = kGolden / "opt";
const std::string kFc2 = "model.decoder.layers.1.fc2.weight";

Status load(const fs::path& directory, const TransformerOptions& options = {},
            const LoadProgress& progress = {}) {
  BackendOptions cpu;
  cpu.device = DeviceChoice::kCpu;
  const auto backend = make_backend(cpu);
  REQUIRE(backend);
  const auto model = Transformer::load(directory, **backend, options, progress);
  if (!model) return tl::unexpected(model.error());
  return {};
}

void check_refused(const fs::path& directory, const std::vector<std::string>& parts) {
  const Status loaded = load(directory);
  REQUIRE_FALSE(loaded);
  INFO(loaded.error().message);
  CHECK(loaded.error().code == ErrorCode::kInvalidArgument);
  for (const std::string& part : parts)
    CHECK(loaded.error().message.find(part) != std::string::npos);
}

TEST_CASE("A faulty tensor is named with its file") {
  const TemporaryDirectory directory(kOpt);
  const fs::path file = directory.path() / "model.safetensors";
  StoredTensors tensors = read_tensors(file);
  StoredTensor& fc2 = tensors.at(kFc2);

  SECTION("missing") {
    tensors.erase(kFc2);
    write_bytes(file, make_safetensors(tensors));
    check_refused(directory.path(), {directory.path().string(), kFc2, "[40, 88]", "missing"});
  }
  SECTION("wrong shape") {
    std::swap(fc2.shape[0], fc2.shape[1]);
    write_bytes(file, make_safetensors(tensors));
    check_refused(directory.path(), {file.string(), kFc2, "[88, 40]", "[40, 88]"});
  }
  SECTION("wrong rank") {
    fc2.shape = {40 * 88};
    write_bytes(file, make_safetensors(tensors));
    check_refused(directory.path(), {file.string(), kFc2, "[3520]", "[40, 88]"});
  }
  SECTION("wrong dtype") {
    fc2.dtype = "I16";
    write_bytes(file, make_safetensors(tensors));
    check_refused(directory.path(), {file.string(), kFc2, "I16", "F32, F16, BF16"});
  }
  SECTION("truncated file") {
    fs::resize_file(file, fs::file_size(file) - 1);
    check_refused(directory.path(), {file.string(), "outside the file", "truncated"});
  }
  SECTION("tensors nobody asked for are ignored") {
    tensors["model.decoder.rotary_emb.inv_freq"] = {"I64", {1}, std::vector<std::byte>(8)};
    write_bytes(file, make_safetensors(tensors));
    CHECK(load(directory.path()));
  }
  SECTION("an empty file") {
    fs::resize_file(file, 0);
    check_refused(directory.path(), {file.string(), "too short"});
  }
  SECTION("no file") {
    fs::remove(file);
    check_refused(directory.path(), {directory.path().string(), "model.safetensors.index.json"});
  }
  SECTION("a directory in its place") {
    fs::remove(file);
    fs::create_directory(file);
    check_refused(directory.path(), {file.string(), "not a regular file"});
  }
  SECTION("no config") {
    fs::remove(directory.path() / "config.json");
    check_refused(directory.path(), {"config.json", "No such file"});
  }
}

TEST_CASE("A faulty shard index is refused") {
  const TemporaryDirectory directory(kGolden / "llama-sharded-old-config");
  const fs::path index = directory.path() / "model.safetensors.index.json";
  const fs::path shard = directory.path() / "model-00001-of-00002.safetensors";
  REQUIRE(fs::exists(shard));
  const auto map = [&index](const std::string& tensor, const std::string& file) {
    write_text(index, R"({"weight_map":{")" + tensor + R"(":)" + file + "}}");
  };
  SECTION("a shard is missing") {
    fs::remove(shard);
    check_refused(directory.path(), {index.string(), shard.filename().string(), "does not exist"});
  }
  SECTION("a tensor is not where the index says") {
    map("model.nowhere", R"("model-00001-of-00002.safetensors")");
    check_refused(directory.path(), {shard.string(), "'model.nowhere' is missing"});
  }
  SECTION("paths may not leave the directory") {
    for (const char* path : {"../x.safetensors", "/etc/passwd", "..", "", "a/b", "a\\\\b"}) {
      map("w", std::string("\"") + path + "\"");
      check_refused(directory.path(), {index.string(), "'w'", "same directory"});
    }
  }
  SECTION("no string") {
    map("w", "[[[[1]]]]");
    check_refused(directory.path(), {index.string(), "'w'", "same directory"});
  }
  SECTION("no JSON") {
    write_text(index, "{\"weight_map\":");
    check_refused(directory.path(), {index.string(), "not a JSON object"});
  }
  SECTION("no map") {
    write_text(index, "{}");
    check_refused(directory.path(), {index.string(), "weight_map"});
  }
  SECTION("nested without end") {
    write_text(index, R"({"weight_map":)" + std::string(100000, '['));
    check_refused(directory.path(), {index.string(), "nests deeper"});
  }
}

TEST_CASE("Progress grows to the bytes of all tensors used") {
  std::vector<std::size_t> done;
  std::size_t bytes = 0;
  const auto progress = [&](std::size_t now, std::size_t total) {
    done.push_back(now);
    bytes = total;
  };
  REQUIRE(load(kOpt, {}, progress));
  CHECK(std::is_sorted(done.begin(), done.end()));
  CHECK(done.back() == bytes);
  std::size_t stored = 0;
  for (const auto& [name, tensor] : read_tensors(kOpt / "model.safetensors"))
    stored += tensor.data.size();
  CHECK(bytes == stored);
}

TEST_CASE("A context longer than the positions is refused with both numbers") {
  TransformerOptions options;
  options.max_model_len = 65;
  const Status loaded = load(kOpt, options);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().param == "max_model_len");
  CHECK(loaded.error().message.find("65") != std::string::npos);
  CHECK(loaded.error().message.find("64") != std::string::npos);
}

}  // namespace
}  // namespace dejavu
