#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/grpc/grpc_fixture.h"

using namespace dejavu;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {

using Daemon = GrpcFixture;

std::string trailer(const grpc::ClientContext& context, const char* key) {
  return value_of(context.GetServerTrailingMetadata(), key);
}

// A port that nothing listens on.
int free_port(GenerationService& service) {
  GrpcOptions options;
  options.port = 0;
  const auto server = GrpcServer::start(options, service);
  REQUIRE(server);
  return (*server)->port();
}

// Nothing when the server gave no answer or knows no such service.
std::optional<HealthCheckResponse::ServingStatus> health_of(Health::Stub& stub,
                                                            const std::string& service) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  if (!stub.Check(&context, request, &response).ok()) return std::nullopt;
  return response.status();
}

std::vector<std::int32_t> endless(const SequenceRequest&) {
  return std::vector<std::int32_t>(1000, 50);
}

}  // namespace

TEST_CASE("Generate answers whole and GenerateStream token by token, with the request's id") {
  Daemon daemon(spell(demo_tokenizer(), "hello", 2));
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "mine-1");
  v1::GenerateResponse response;
  auto request = request_of("hi", 20);
  request.set_n(2);
  REQUIRE(daemon.stub->Generate(&context, request, &response).ok());
  REQUIRE(response.choices_size() == 2);
  CHECK(response.choices(1).index() == 1);
  CHECK(response.choices(1).text() == "hello");
  CHECK(response.choices(1).finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(response.usage().completion_tokens() == 12);
  CHECK(response.usage().total_tokens() ==
        response.usage().prompt_tokens() + response.usage().completion_tokens());
  CHECK(response.model() == "demo");
  CHECK(context.GetServerInitialMetadata().find("x-request-id")->second == "mine-1");

  grpc::ClientContext stream_context;
  auto reader = daemon.stub->GenerateStream(&stream_context, request_of("hi", 20));
  std::string text;
  int messages = 0;
  v1::GenerateStreamResponse message;
  while (reader->Read(&message)) {
    text += message.choice().text();
    ++messages;
  }
  CHECK(reader->Finish().ok());
  CHECK(text == "hello");
  CHECK(messages == 7);  // five letters, the end, the summary
  CHECK(message.has_timings());
  CHECK_FALSE(message.has_choice());
}

TEST_CASE("errors carry their gRPC code, reason and field") {
  Daemon daemon(spell(demo_tokenizer(), "x"));
  const auto call = [&](const v1::GenerateRequest& request, grpc::ClientContext& context) {
    v1::GenerateResponse response;
    return daemon.stub->Generate(&context, request, &response);
  };
  {
    grpc::ClientContext context;
    const auto status = call(request_of("hi", 100000), context);
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK_THAT(status.error_message(), Catch::Contains("maximum context length is 1024"));
    CHECK(trailer(context, "error-code") == "context_length_exceeded");
    CHECK(trailer(context, "error-param") == "prompt");
  }
  {
    grpc::ClientContext context;
    auto request = request_of("hi", 1);
    request.set_model("nope");
    CHECK(call(request, context).error_code() == grpc::StatusCode::NOT_FOUND);
    CHECK(trailer(context, "error-code") == "model_not_found");
  }
  {
    grpc::ClientContext context;
    CHECK(call({}, context).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  {
    daemon.fixture.engine.refuse_with(Error{ErrorCode::kResourceExhausted, "full", {}, {}});
    grpc::ClientContext context;
    CHECK(call(request_of("hi", 1), context).error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK_FALSE(trailer(context, "grpc-retry-pushback-ms").empty());
    grpc::ClientContext stream_context;
    auto reader = daemon.stub->GenerateStream(&stream_context, request_of("hi", 1));
    v1::GenerateStreamResponse message;
    CHECK_FALSE(reader->Read(&message));
    CHECK(reader->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  {
    daemon.fixture.service->set_state(ServiceState::kDraining);
    grpc::ClientContext context;
    CHECK(call(request_of("hi", 1), context).error_code() == grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_CASE("a cancelled call and a passed deadline end the sequence") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(1);
  options.engine.hold_after = 10;
  Daemon daemon(endless, options);
  {
    grpc::ClientContext context;
    auto reader = daemon.stub->GenerateStream(&context, request_of("hi", 1000));
    v1::GenerateStreamResponse message;
    REQUIRE(reader->Read(&message));
    context.TryCancel();
    while (reader->Read(&message)) {
    }
    CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
    CHECK(daemon.fixture.engine.wait_until_idle());
  }
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    v1::GenerateResponse response;
    CHECK(daemon.stub->Generate(&context, request_of("hi", 1000), &response).error_code() ==
          grpc::StatusCode::DEADLINE_EXCEEDED);
    CHECK(daemon.fixture.engine.wait_until_idle());
    CHECK(daemon.fixture.engine.submitted().back().deadline);
  }
  {
    grpc::ClientContext context;
    auto request = request_of("hi", 1000);
    request.set_timeout_ms(50);
    v1::GenerateResponse response;
    CHECK(daemon.stub->Generate(&context, request, &response).error_code() ==
          grpc::StatusCode::DEADLINE_EXCEEDED);
  }
}

TEST_CASE("API keys are asked for everywhere but in health") {
  GrpcOptions grpc_options;
  grpc_options.api_keys = {"secret"};
  Daemon daemon(spell(demo_tokenizer(), "x"), {}, grpc_options);
  for (const char* header : {"", "Bearer wrong", "Bearer secret"}) {
    grpc::ClientContext generate, info;
    if (*header != '\0') {
      generate.AddMetadata("authorization", header);
      info.AddMetadata("authorization", header);
    }
    v1::GenerateResponse response;
    v1::GetServerInfoResponse server;
    const auto want = std::string(header) == "Bearer secret" ? grpc::StatusCode::OK
                                                             : grpc::StatusCode::UNAUTHENTICATED;
    CHECK(daemon.stub->Generate(&generate, request_of("hi", 1), &response).error_code() == want);
    CHECK(daemon.stub->GetServerInfo(&info, {}, &server).error_code() == want);
  }
  CHECK_THAT(daemon.fixture.metrics->expose(),
             Catch::Contains("{api=\"grpc\",outcome=\"unauthenticated\"} 2"));
}

TEST_CASE("Tokenize, Detokenize and GetServerInfo") {
  Daemon daemon(spell(demo_tokenizer(), "x"));
  v1::TokenizeRequest tokenize;
  tokenize.set_prompt("Once upon");
  tokenize.set_return_token_strs(true);
  v1::TokenizeResponse tokens;
  grpc::ClientContext first;
  REQUIRE(daemon.stub->Tokenize(&first, tokenize, &tokens).ok());
  CHECK(tokens.tokens(0) == 2);
  CHECK(tokens.count() == tokens.tokens_size());
  CHECK(tokens.max_model_len() == 1024);
  CHECK(tokens.token_strs_size() == tokens.count());

  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_tokens() = tokens.tokens();
  v1::DetokenizeResponse text;
  grpc::ClientContext second;
  REQUIRE(daemon.stub->Detokenize(&second, detokenize, &text).ok());
  CHECK(text.prompt() == "</s>Once upon");

  daemon.fixture.service->set_state(ServiceState::kLoading);
  v1::GetServerInfoResponse info;
  grpc::ClientContext third;
  REQUIRE(daemon.stub->GetServerInfo(&third, {}, &info).ok());
  CHECK(info.state() == "loading");
  CHECK(info.models(0).id() == "demo");
}

TEST_CASE("a second server on the port is refused with a message that names it") {
  Daemon daemon(spell(demo_tokenizer(), "x"));
  GrpcOptions options;
  options.port = daemon.server->port();
  const auto second = GrpcServer::start(options, *daemon.fixture.service);
  REQUIRE_FALSE(second);
  CHECK_THAT(second.error().message,
             Catch::Contains(std::to_string(options.port)) && Catch::Contains("--grpc-port"));
}

TEST_CASE("health is NOT_SERVING from the first answer until ready, and again while draining") {
  ServiceFixture fixture(spell(demo_tokenizer(), "x"));
  fixture.service->set_state(ServiceState::kLoading);
  GrpcOptions options;
  options.port = free_port(*fixture.service);
  const std::string address = "127.0.0.1:" + std::to_string(options.port);
  for (int start = 0; start < 10; ++start) {
    // Clients that ask all the time, from before the server listens.
    std::atomic<bool> stop{false};
    std::atomic<int> answers{0};
    std::atomic<int> serving{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back([&] {
        grpc::ChannelArguments fresh;  // connects by itself, again at once
        fresh.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        fresh.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1);
        fresh.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1);
        fresh.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1);
        const auto stub = Health::NewStub(
            grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), fresh));
        while (!stop) {
          const auto status = health_of(*stub, "");
          if (status) ++answers;
          if (status == HealthCheckResponse::SERVING) ++serving;
        }
      });
    }
    auto server = GrpcServer::start(options, *fixture.service);
    while (server && answers < 20) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stop = true;
    for (std::thread& client : clients) client.join();
    REQUIRE(server);
    CHECK(serving == 0);
  }

  const auto server = GrpcServer::start(options, *fixture.service);
  REQUIRE(server);
  const auto stub =
      Health::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("dejavu.v1.Generation");
  const auto watch = stub->Watch(&context, request);
  const auto next = [&] {
    HealthCheckResponse response;
    REQUIRE(watch->Read(&response));
    return response.status();
  };
  CHECK(next() == HealthCheckResponse::NOT_SERVING);
  fixture.service->set_state(ServiceState::kReady);
  (*server)->update_health();
  CHECK(next() == HealthCheckResponse::SERVING);
  CHECK(health_of(*stub, "") == HealthCheckResponse::SERVING);
  CHECK(health_of(*stub, "dejavu.v1.Generation") == HealthCheckResponse::SERVING);
  CHECK_FALSE(health_of(*stub, "no.such"));
  fixture.service->set_state(ServiceState::kDraining);
  (*server)->update_health();
  CHECK(next() == HealthCheckResponse::NOT_SERVING);
  CHECK(health_of(*stub, "") == HealthCheckResponse::NOT_SERVING);
  (*server)->stop();
  HealthCheckResponse response;
  CHECK_FALSE(watch->Read(&response));
  CHECK(watch->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("stopping ends calls in flight") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(1);
  Daemon daemon(endless, options);
  daemon.fixture.engine.pause(true);
  std::thread client([&] {
    grpc::ClientContext context;
    v1::GenerateResponse response;
    CHECK_FALSE(daemon.stub->Generate(&context, request_of("hi", 1000), &response).ok());
  });
  while (daemon.fixture.engine.submitted().empty()) std::this_thread::yield();
  daemon.server->stop();
  client.join();
}
