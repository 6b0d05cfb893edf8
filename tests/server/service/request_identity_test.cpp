#include "server/request_identity.h"

#include <catch2/catch.hpp>

using namespace dejavu;

TEST_CASE("a request keeps a sound id and gets a new one otherwise") {
  CHECK(request_id_or_new("abc-1") == "abc-1");
  CHECK(request_id_or_new("").size() == 32);
  CHECK(request_id_or_new("") != request_id_or_new(""));
  CHECK(request_id_or_new("with space").size() == 32);
  CHECK(request_id_or_new("line\nbreak").size() == 32);
  CHECK(request_id_or_new(std::string(129, 'x')).size() == 32);
}

TEST_CASE("the trace id of a traceparent") {
  const std::string id = "4bf92f3577b34da6a3ce929d0e0e4736";
  CHECK(trace_id_of("00-" + id + "-00f067aa0ba902b7-01") == id);
  CHECK(trace_id_of("").empty());
  CHECK(trace_id_of("00-" + std::string(32, '0') + "-00f067aa0ba902b7-01").empty());
  CHECK(trace_id_of("00-" + std::string(32, 'G') + "-00f067aa0ba902b7-01").empty());
  CHECK(trace_id_of("ff-" + id + "-00f067aa0ba902b7-01").empty());
}

TEST_CASE("bearer tokens match one of the keys") {
  const std::vector<std::string> keys{"first", "second"};
  CHECK(bearer_token_matches("Bearer first", keys));
  CHECK(bearer_token_matches("bearer second", keys));
  CHECK_FALSE(bearer_token_matches("Bearer third", keys));
  CHECK_FALSE(bearer_token_matches("Bearer firs", keys));
  CHECK_FALSE(bearer_token_matches("Bearer firstfirst", keys));
  CHECK_FALSE(bearer_token_matches("Bearer ", keys));
  CHECK_FALSE(bearer_token_matches("first", keys));
  CHECK_FALSE(bearer_token_matches("", keys));
  CHECK_FALSE(bearer_token_matches("Bearer ", {""}));
}
