// HTTP itself: methods, framing, limits, connections.
#include <chrono>
#include <functional>
#include <thread>

#include "tests/server/http/server_fixture.h"

using nlohmann::json;

namespace dejavu {
namespace {

bool is_openai_error(const HttpReply& reply) {
  const json error = reply.json()["error"];
  return error.contains("message") && error.contains("type") && error.contains("param") &&
         error.contains("code");
}

bool eventually(const std::function<bool()>& holds) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

TEST_CASE("unknown paths and wrong methods") {
  const HttpFixture http;
  HttpClient client = http.connect();
  HttpReply reply = client.get("/nothing");
  CHECK(reply.status == 404);
  CHECK(is_openai_error(reply));
  reply = client.get("/v1/completions");
  CHECK(reply.status == 405);
  CHECK(reply.header("allow") == "POST, OPTIONS");
  CHECK(is_openai_error(reply));
  reply = client.post("/health", "{}");
  CHECK(reply.status == 405);
  CHECK(reply.header("allow") == "GET, HEAD, OPTIONS");
  // The connection is still good.
  CHECK(client.get("/v1/health").status == 200);
}

TEST_CASE("content types") {
  const HttpFixture http;
  HttpClient client = http.connect();
  const auto post = [&](const std::string& type) {
    client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\n" + type +
                "Content-Length: 14\r\n\r\n{\"prompt\":\"a\"}");
    return client.read_reply();
  };
  CHECK(post("").status == 200);
  CHECK(post("Content-Type: Application/JSON; charset=utf-8\r\n").status == 200);
  const HttpReply refused = post("Content-Type: text/plain\r\n");
  CHECK(refused.status == 415);
  CHECK(is_openai_error(refused));
  CHECK(post("Content-Encoding: gzip\r\n").status == 415);
  CHECK(post("").status == 200);
}

TEST_CASE("a refused generation request is recorded with the status it got") {
  HttpOptions options;
  options.max_body_bytes = 100;
  const HttpFixture http(options);
  CHECK(http.get("/v1/completions").status == 405);
  HttpClient client = http.connect();
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
  CHECK(client.read_reply().status == 415);
  CHECK(http.post("/v1/completions", "{").status == 400);
  CHECK(http.post("/v1/completions", std::string(101, ' ')).status == 413);
  CHECK(http.post("/v1/tokenize", "{").status == 400);  // generates nothing: not recorded
  CHECK(http.service.refusals() == std::vector<int>{405, 415, 400, 413});
}

TEST_CASE("HEAD is GET without a body") {
  const HttpFixture http;
  HttpClient client = http.connect();
  const HttpReply got = client.get("/v1/models");
  client.send("HEAD /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  const HttpReply head = client.read_reply(true);
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == got.header("content-length"));
  CHECK(client.get("/version").status == 200);
}

TEST_CASE("OPTIONS says what is allowed; CORS stays off by default") {
  const HttpFixture http;
  HttpClient client = http.connect();
  client.send(
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: t\r\nOrigin: http://a\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  const HttpReply reply = client.read_reply();
  CHECK(reply.status == 204);
  CHECK(reply.header("allow") == "POST, OPTIONS");
  CHECK(reply.header("access-control-allow-origin").empty());
  client.send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
  CHECK(client.read_reply().status == 204);
}

TEST_CASE("CORS for the origins named") {
  HttpOptions options;
  options.cors_origins = {"http://good"};
  const HttpFixture http(options);
  HttpClient client = http.connect();
  client.send(
      "OPTIONS /v1/completions HTTP/1.1\r\nHost: t\r\nOrigin: http://good\r\n"
      "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n\r\n");
  const HttpReply preflight = client.read_reply();
  CHECK(preflight.header("access-control-allow-origin") == "http://good");
  CHECK(preflight.header("access-control-allow-headers") == "x-a");
  const HttpReply stream =
      client.post("/completions", R"({"prompt":"a","stream":true})", "Origin: http://good\r\n");
  CHECK(stream.header("access-control-allow-origin") == "http://good");
  CHECK(client.get("/version", "Origin: http://bad\r\n")
            .header("access-control-allow-origin")
            .empty());
}

TEST_CASE("API keys guard everything but probes") {
  HttpOptions options;
  options.api_keys = {"first", "second-key"};
  const HttpFixture http(options);
  HttpClient client = http.connect();
  const HttpReply refused = client.post("/v1/completions", R"({"prompt":"a"})");
  CHECK(refused.status == 401);
  CHECK(refused.header("www-authenticate") == "Bearer");
  CHECK(is_openai_error(refused));
  for (const char* wrong : {"first ", "firs", "firstt", "second-kez", ""})
    CHECK(
        client.get("/v1/models", std::string("Authorization: Bearer ") + wrong + "x\r\n").status ==
        401);
  CHECK(client.get("/nothing").status == 401);
  CHECK(client.get("/v1/models", "Authorization: bearer second-key\r\n").status == 200);
  for (const char* open : {"/health", "/ready", "/metrics", "/version"})
    CHECK(client.get(open).status == 200);
}

TEST_CASE("Expect: 100-continue, and a refusal that spares the body") {
  HttpOptions options;
  options.max_body_bytes = 1000;
  const HttpFixture http(options);
  HttpClient client = http.connect();
  client.send(
      "POST /completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
      "Content-Length: 14\r\n\r\n");
  CHECK(client.read_reply().status == 100);
  client.send(R"({"prompt":"a"})");
  CHECK(client.read_reply().status == 200);
  client.send(
      "POST /completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
      "Content-Length: 100000\r\n\r\n");
  CHECK(client.read_reply().status == 413);
  CHECK(client.closed_by_server());
}

TEST_CASE("bodies over the limit are a 413, whatever their framing") {
  HttpOptions options;
  options.max_body_bytes = 1000;
  const HttpFixture http(options);
  const HttpReply counted = http.post("/completions", std::string(200000, ' '));
  CHECK(counted.status == 413);
  CHECK(is_openai_error(counted));
  HttpClient client = http.connect();
  client.send("POST /completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send("400\r\n" + std::string(0x400, ' ') + "\r\n");
  CHECK(client.read_reply().status == 413);
}

TEST_CASE("chunked bodies and pipelined requests") {
  const HttpFixture http;
  HttpClient client = http.connect();
  client.send(
      "POST /completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"pro\r\n9\r\nmpt\":\"a\"}\r\n0\r\n\r\n"
      "\r\nPOST /completions HTTP/1.1\r\nHost: t\r\nContent-Length: 28\r\n\r\n"
      "{\"prompt\":\"b\",\"stream\":true}"
      "GET /version HTTP/1.1\r\nHost: t\r\n\r\n");
  CHECK(client.read_reply().json()["choices"][0]["text"] == "a!0");
  CHECK(client.read_reply().events().back() == "[DONE]");
  CHECK(client.read_reply().json().contains("version"));
}

TEST_CASE("HTTP/1.0: no chunks, and a close") {
  const HttpFixture http;
  HttpClient client = http.connect();
  client.send(
      "POST /completions HTTP/1.0\r\nContent-Length: 28\r\n\r\n"
      "{\"prompt\":\"b\",\"stream\":true}");
  const HttpReply reply = client.read_reply();
  CHECK(reply.header("transfer-encoding").empty());
  CHECK(reply.events().back() == "[DONE]");
}

TEST_CASE("what is no HTTP gets a 400 and a close") {
  const HttpFixture http;
  for (const char* bytes :
       {"\x16\x03\x01garbage\r\n\r\n", "GET / HTTP/3.7\r\n\r\n", "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: t\r\nbad header\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "POST /completions HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"}) {
    HttpClient client = http.connect();
    client.send(bytes);
    const HttpReply reply = client.read_reply();
    CHECK(reply.status == 400);
    CHECK(is_openai_error(reply));
  }
  HttpClient client = http.connect();
  client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Long: " + std::string(100000, 'x') + "\r\n\r\n");
  CHECK(client.read_reply().status == 431);
}

TEST_CASE("idle connections close after the keep-alive time") {
  HttpOptions options;
  options.keep_alive_seconds = 1;  // long enough for the client to ask in time
  const HttpFixture http(options);
  HttpClient client = http.connect();
  CHECK(client.get("/version").header("connection") == "keep-alive");
  CHECK(client.closed_by_server());
}

TEST_CASE("a request id comes back; a bad one is replaced") {
  const HttpFixture http;
  HttpClient client = http.connect();
  CHECK(client.get("/nothing", "X-Request-Id: my-id\r\n").header("x-request-id") == "my-id");
  CHECK(client.get("/version").header("x-request-id").size() == 32);
  const std::string replaced =
      client.get("/version", "X-Request-Id: " + std::string(129, 'a') + "\r\n")
          .header("x-request-id");
  CHECK(replaced.size() == 32);
  client.post("/completions", R"({"prompt":"a"})",
              "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
  CHECK(http.service.last_request().trace_id == "0af7651916cd43dd8448eb211c80319c");
}

TEST_CASE("a silent stream is kept alive by comments") {
  HttpOptions options;
  options.ping_seconds = 0.02;
  const HttpFixture http(options);
  HttpClient client = http.connect();
  client.send_post("/completions", R"({"prompt":"silent","stream":true})");
  client.read_until(": ping\n\n");
  client.read_until(": ping\n\n");
}

TEST_CASE("a client that hangs up cancels its call") {
  const HttpFixture http;
  for (const char* body : {R"({"prompt":"forever","stream":true})", R"({"prompt":"silent"})",
                           R"({"prompt":"silent","stream":true})"}) {
    const int before = http.service.cancelled_calls();
    HttpClient client = http.connect();
    client.send_post("/completions", body);
    CHECK(eventually([&] { return http.service.active_calls() == 1; }));
    client.close();
    CHECK(eventually([&] { return http.service.cancelled_calls() == before + 1; }));
    CHECK(eventually([&] { return http.service.active_calls() == 0; }));
  }
}

TEST_CASE("a client that does not read holds up nobody") {
  const HttpFixture http;
  HttpClient slow = http.connect();
  slow.send_post("/completions", R"({"prompt":"long:20000000","stream":true})");
  CHECK(http.post("/completions", R"({"prompt":"a"})").status == 200);
  CHECK(slow.read_reply().events().back() == "[DONE]");
}

TEST_CASE("draining answers and closes; stopping ends what runs with an error") {
  HttpFixture http;
  HttpClient idle = http.connect();
  HttpClient busy = http.connect();
  CHECK(idle.get("/version").status == 200);
  busy.send_post("/completions", R"({"prompt":"forever","stream":true})");
  busy.read_until("data: ");
  http.server->drain();
  http.service.set_state(ServiceState::kDraining);
  HttpClient late = http.connect();
  const HttpReply reply = late.get("/ready");
  CHECK(reply.status == 503);
  CHECK(reply.json()["status"] == "draining");
  CHECK(reply.json()["error"]["code"] == "shutting_down");
  CHECK(reply.header("connection") == "close");
  busy.read_until("data: ");
  http.server->stop();
  CHECK(busy.read_until("shutting_down").find("event: error") != std::string::npos);
  CHECK(idle.closed_by_server());
  http.server->stop();
}

TEST_CASE("a port in use is an error that names it") {
  HttpFixture http;
  HttpOptions options;
  options.port = http.server->port();
  const auto second = HttpServer::start(options, http.service, *http.metrics);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().message.find("127.0.0.1:" + std::to_string(options.port)) !=
        std::string::npos);
}

TEST_CASE("IPv6 hosts") {
  HttpOptions options;
  options.host = "::1";
  const HttpFixture http(options);
  HttpClient client(http.server->port(), "::1");
  CHECK(client.get("/health").status == 200);
}

}  // namespace dejavu
