#include "engine/backend/factory.h"

#include <catch2/catch.hpp>

using namespace dejavu;

TEST_CASE("auto finds a device, and asking for a GPU that is not there says what to do") {
  CHECK(make_backend({}));
  const auto cuda = make_backend({.device = DeviceChoice::kCuda});
  if (cuda) {
    CHECK((*cuda)->info().device == "cuda");
  } else {
    CHECK(cuda.error().param == "device");
    CHECK(cuda.error().message.find("--device cpu") != std::string::npos);
    CHECK((*make_backend({}))->info().device == "cpu");
  }
}
