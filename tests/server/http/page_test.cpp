// The page at / as the server hands it out. What it does is tested in a browser (tests/e2e).
#include <regex>

#include "tests/server/http/server_fixture.h"

namespace dejavu {
namespace {

HttpOptions with_key() {
  HttpOptions options;
  options.api_keys = {"secret"};
  return options;
}

}  // namespace

TEST_CASE("the page and everything it names is served, without a key") {
  const HttpFixture http(with_key());
  const HttpReply page = http.get("/");
  REQUIRE(page.status == 200);
  CHECK(page.header("content-type") == "text/html; charset=utf-8");
  CHECK(http.get("/v1/models").status == 401);

  const std::regex reference("(?:src|href)=\"([^\"]*)\"");
  int assets = 0;
  for (auto it = std::sregex_iterator(page.body.begin(), page.body.end(), reference);
       it != std::sregex_iterator(); ++it) {
    const std::string path = (*it)[1];
    INFO(path);
    CHECK(path.find(':') == std::string::npos);  // nothing from elsewhere
    CHECK(path.front() != '/');                  // works under a path prefix
    if (!path.starts_with("assets/")) continue;
    ++assets;
    const HttpReply asset = http.get("/" + path);
    CHECK(asset.status == 200);
    CHECK_FALSE(asset.body.empty());
    CHECK(asset.header("x-content-type-options") == "nosniff");
  }
  CHECK(assets >= 3);
  CHECK(http.get("/assets/main.js").header("content-type") == "text/javascript; charset=utf-8");
  CHECK(http.get("/assets/style.css").header("content-type") == "text/css; charset=utf-8");
  CHECK(http.get("/assets/none.js").status == 404);
}

TEST_CASE("the page may load and call nothing but its own server") {
  const HttpFixture http;
  const std::string policy = http.get("/").header("content-security-policy");
  CHECK_THAT(policy, Catch::StartsWith("default-src 'none'"));
  CHECK_THAT(policy, Catch::Contains("connect-src 'self'"));
  CHECK_THAT(policy, !Catch::Contains("unsafe"));
  CHECK_THAT(policy, !Catch::Contains("http"));
}

TEST_CASE("without the page nothing is served in its place") {
  HttpOptions options;
  options.ui = false;
  const HttpFixture http(options);
  CHECK(http.get("/").status == 404);
  CHECK(http.get("/assets/main.js").status == 404);
  CHECK(http.get("/v1/models").status == 200);
}

}  // namespace dejavu
