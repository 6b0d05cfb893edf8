// Whole model directories, right and wrong: each fault gets one message that names file and tensor.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/backend/factory.h"
#include "engine/model/mapped_file.h"
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

// Changes the header of a safetensors file and leaves its data alone.
void edit_header(const fs::path& file, const std::function<void(nlohmann::json&)>& edit) {
  const auto bytes = MappedFile::open(file);
  REQUIRE(bytes);
  const std::string text(bytes->text());
  std::size_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<std::uint8_t>(text[i]);
  auto header = nlohmann::json::parse(text.substr(8, length));
  edit(header);
  std::vector<std::byte> changed = raw_safetensors(header.dump(), 0);
  for (const char c : text.substr(8 + length)) changed.push_back(static_cast<std::byte>(c));
  write_bytes(file, changed);
}

TEST_CASE("A faulty tensor is named with its file") {
  const TemporaryDirectory directory(kOpt);
  const fs::path file = directory.path() / "model.safetensors";
  StoredTensors tensors = read_tensors(file);
  StoredTensor& fc2 = tensors.at(kFc2);

  SECTION("missing") {
    tensors.erase(kFc2);
    write_bytes(file, make_safetensors(tensors));
    check_refused(directory.path(), {file.string() + ": ", kFc2, "[40, 88]", "missing"});
  }
  SECTION("missing from the header, its data left in place") {
    edit_header(file, [](nlohmann::json& header) { header.erase(kFc2); });
    check_refused(directory.path(), {file.string() + ": ", kFc2, "[40, 88]", "missing"});
  }
  SECTION("data of a tensor nobody needs, without a name") {
    tensors["aaa"] = {"F32", {1}, std::vector<std::byte>(4)};
    write_bytes(file, make_safetensors(tensors));
    edit_header(file, [](nlohmann::json& header) { header.erase("aaa"); });
    check_refused(directory.path(), {file.string() + ": no tensor covers the data bytes [0, 4)"});
  }
  SECTION("at the place of another, before it or after") {
    const std::string twin = "model.decoder.layers.0.fc2.weight";
    for (const auto& [moved, at] : {std::pair(kFc2, twin), std::pair(twin, kFc2)}) {
      write_bytes(file, make_safetensors(tensors));
      edit_header(file, [&moved = moved, &at = at](nlohmann::json& header) {
        header[moved]["data_offsets"] = header[at]["data_offsets"];
      });
      check_refused(directory.path(), {file.string() + ": ", kFc2, twin, "overlaps"});
    }
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
  const auto lose_from_shard = [&directory, &index](const std::string& tensor) {
    const auto json = nlohmann::json::parse(std::ifstream(index));
    const fs::path file = directory.path() / json["weight_map"][tensor].get<std::string>();
    edit_header(file, [&tensor](nlohmann::json& header) { header.erase(tensor); });
    return file;
  };
  SECTION("a shard's header lacks a tensor whose data is there") {
    const fs::path file = lose_from_shard("model.layers.1.mlp.up_proj.weight");
    check_refused(directory.path(), {file.string() + ": ", "layers.1.mlp.up_proj", "is missing"});
  }
  SECTION("the index does not know a tensor either") {
    // Of a gated MLP that is none in one layer, the gate is missing.
    for (const std::string lost :
         {"model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.gate_proj.weight"}) {
      lose_from_shard(lost);
      auto json = nlohmann::json::parse(std::ifstream(index));
      json["weight_map"].erase(lost);
      write_text(index, json.dump());
      check_refused(directory.path(), {index.string() + ": ", lost, "is missing"});
    }
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
