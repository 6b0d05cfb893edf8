// What the load client reads off the wire, and where it connects to.
#include <catch2/catch.hpp>

#include "server/load/sse_reader.h"
#include "server/load/url.h"

using namespace dejavu;

TEST_CASE("events come out whole however the bytes are cut") {
  const std::string wire =
      "data: {\"a\":1}\r\n\r\n: ping\n\ndata:{\"b\":2}\n\nevent: error\ndata: [DONE]\n\n";
  const std::vector<std::string> expected = {"{\"a\":1}", "{\"b\":2}", "[DONE]"};
  for (std::size_t cut = 1; cut <= wire.size(); ++cut) {
    SseReader reader;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < wire.size(); at += cut) {
      for (std::string& payload : reader.feed(std::string_view(wire).substr(at, cut))) {
        got.push_back(std::move(payload));
      }
    }
    CHECK(got == expected);
  }
}

TEST_CASE("addresses of a daemon") {
  struct Case {
    const char* text;
    bool grpc;
    const char* host;
    const char* port;
    const char* path;
  };
  for (const Case& c : {Case{"http://127.0.0.1:8000", false, "127.0.0.1", "8000", ""},
                        Case{"http://example.org", false, "example.org", "80", ""},
                        Case{"http://[::1]:81/", false, "::1", "81", ""},
                        Case{"http://h:1/prefix/", false, "h", "1", "/prefix"},
                        Case{"grpc://h", true, "h", "50051", ""}}) {
    const auto url = parse_url(c.text);
    REQUIRE(url);
    CHECK(url->grpc == c.grpc);
    CHECK(url->host == c.host);
    CHECK(url->port == c.port);
    CHECK(url->base_path == c.path);
  }
  CHECK(parse_url("http://[::1]:81")->authority() == "[::1]:81");
  for (const char* wrong :
       {"", "localhost:8000", "https://h", "http://", "http://[::1", "http://h:"}) {
    CHECK_FALSE(parse_url(wrong));
  }
}
