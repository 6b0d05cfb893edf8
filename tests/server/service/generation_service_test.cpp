#include "server/generation_service.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <thread>

#include "tests/support/service_fixture.h"

using namespace dejavu;

namespace {

const std::string kStory = "Once upon a time, there was a naïve 🦊 who lived by the sea.";

GenerateRequest story_request(std::int64_t max_tokens = 200) {
  GenerateRequest request = text_request("Tell");
  request.sampling.max_tokens = max_tokens;
  return request;
}

}  // namespace

TEST_CASE("a streamed answer and a whole one hold the same text and end") {
  const auto tokenizer = demo_tokenizer();
  ServiceFixture fixture(spell(tokenizer, kStory, 2));
  for (const bool stream : {false, true}) {
    GenerateRequest request = story_request();
    request.stream = stream;
    const auto sink = fixture.run(request);
    REQUIRE(sink->summary());
    CHECK(sink->text() == kStory);
    CHECK(sink->deltas().size() == (stream ? kStory.size() + 1 : 1));
    const TextDelta& last = sink->deltas().back();
    CHECK(last.finish == FinishReason::kStop);
    CHECK(std::holds_alternative<std::monostate>(last.stop_reason));  // end of sequence
    CHECK(sink->summary()->usage.completion_tokens == static_cast<int>(kStory.size()) + 1);
    CHECK(sink->summary()->usage.prompt_tokens == 2);
    CHECK(sink->summary()->timings.predicted_n == sink->summary()->usage.completion_tokens);
    CHECK_FALSE(sink->anything_after_end());
  }
  CHECK(fixture.service->active_calls() == 0);
}

TEST_CASE("no streamed piece holds half a character") {
  ServiceFixture fixture(spell(demo_tokenizer(), kStory, 2));
  GenerateRequest request = story_request();
  request.stream = true;
  const auto sink = fixture.run(request);
  for (const TextDelta& delta : sink->deltas()) {
    CHECK((delta.text.empty() || (static_cast<unsigned char>(delta.text[0]) & 0xc0U) != 0x80U));
    CHECK(delta.text.find("\xef\xbf\xbd") == std::string::npos);
  }
}

TEST_CASE("max_tokens ends an answer with length") {
  ServiceFixture fixture(spell(demo_tokenizer(), kStory));
  const auto sink = fixture.run(story_request(4));
  CHECK(sink->text() == "Once");
  CHECK(sink->deltas().back().finish == FinishReason::kLength);
  CHECK(sink->summary()->usage.completion_tokens == 4);
}

TEST_CASE("a stop string that spans tokens ends the answer and the sequence") {
  ServiceFixture fixture(spell(demo_tokenizer(), kStory));
  for (const bool stream : {false, true}) {
    for (const bool include : {false, true}) {
      GenerateRequest request = story_request();
      request.stream = stream;
      request.sampling.stop = {"zzz", "ïve "};
      request.sampling.include_stop_str_in_output = include;
      const auto sink = fixture.run(request);
      CHECK(sink->text() ==
            std::string("Once upon a time, there was a na") + (include ? "ïve " : ""));
      const TextDelta& last = sink->deltas().back();
      CHECK(last.finish == FinishReason::kStop);
      REQUIRE(std::holds_alternative<std::string>(last.stop_reason));
      CHECK(std::get<std::string>(last.stop_reason) == "ïve ");
      CHECK(fixture.engine.wait_until_idle());
    }
  }
}

TEST_CASE("stop strings are not looked for before min_tokens") {
  ServiceFixture fixture(spell(demo_tokenizer(), "a.b.c.d.e"));
  GenerateRequest request = story_request();
  request.sampling.stop = {"."};
  request.sampling.min_tokens = 4;
  const auto sink = fixture.run(request);
  CHECK(sink->text() == "a.b.c");
  CHECK(sink->summary()->usage.completion_tokens == 6);
}

TEST_CASE("a stop token's id is the stop reason and its text is left out unless included") {
  const auto tokenizer = demo_tokenizer();
  const std::int32_t dot = tokenizer->encode(".", false).front();
  ServiceFixture fixture(spell(tokenizer, "Hi.rest"));
  for (const bool include : {false, true}) {
    GenerateRequest request = story_request();
    request.sampling.stop_token_ids = {dot};
    request.sampling.include_stop_str_in_output = include;
    const auto sink = fixture.run(request);
    CHECK(sink->text() == (include ? "Hi." : "Hi"));
    CHECK(sink->deltas().back().finish == FinishReason::kStop);
    CHECK(std::get<std::int32_t>(sink->deltas().back().stop_reason) == dot);
    CHECK(sink->deltas().back().token_ids.back() == dot);
  }
}

TEST_CASE("special tokens are shown only when asked for") {
  const auto tokenizer = demo_tokenizer();
  const std::vector<std::int32_t> script{*tokenizer->token_id("a"), 4, *tokenizer->token_id("b")};
  ServiceFixture fixture([&](const SequenceRequest&) { return script; });
  GenerateRequest request = story_request(3);
  CHECK(fixture.run(request)->text() == "ab");
  request.skip_special_tokens = false;
  CHECK(fixture.run(request)->text() == "a<|im_start|>b");
}

TEST_CASE("choices are numbered prompt × n + k, each with its own seed and the prompt's tokens") {
  const auto tokenizer = demo_tokenizer();
  ServiceFixture fixture([&](const SequenceRequest& request) {
    return tokenizer->encode(tokenizer->decode(request.prompt, true), false);  // an echo
  });
  for (const bool stream : {false, true}) {
    GenerateRequest request = story_request(8);
    request.stream = stream;
    request.prompts = {std::string("red"), std::string("blue")};
    request.n = 3;
    request.sampling.seed = 42;
    const auto sink = fixture.run(request);
    for (int choice = 0; choice < 6; ++choice) {
      CHECK(sink->text(choice) == (choice < 3 ? "red" : "blue"));
      CHECK(sink->last(choice) != nullptr);
    }
    CHECK(sink->summary()->usage.prompt_tokens ==
          static_cast<int>(tokenizer->encode("red", true).size() +
                           tokenizer->encode("blue", true).size()));
  }
  const auto submitted = fixture.engine.submitted();
  REQUIRE(submitted.size() == 12);
  CHECK(submitted[0].sampling.seed == 42U);
  CHECK(submitted[3].sampling.seed == 42U);  // the same seed, the same text, whatever the list
  CHECK(submitted[1].sampling.seed == submitted[4].sampling.seed);
  CHECK(std::set<std::uint64_t>{*submitted[0].sampling.seed, *submitted[1].sampling.seed,
                                *submitted[2].sampling.seed}
            .size() == 3);
}

TEST_CASE("rates are of the tokens after the first of each choice") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(5);
  ServiceFixture fixture(spell(demo_tokenizer(), "abcdefgh"), options);
  for (const std::int64_t tokens : {1, 4}) {
    GenerateRequest request = story_request(tokens);
    request.n = 3;
    const Timings timings = fixture.run(request)->summary()->timings;
    CHECK(timings.predicted_n == 3 * tokens);
    CHECK(timings.timed_n == 3 * (tokens - 1));
    if (tokens == 1)
      CHECK(timings.predicted_ms == 0);
    else
      CHECK(timings.predicted_ms >= 5 * static_cast<double>(tokens - 2));
  }
}

TEST_CASE("logprobs carry text, bytes and offsets in characters") {
  const std::string text = "né🦊x";
  ServiceFixture fixture(spell(demo_tokenizer(), text));
  GenerateRequest request = story_request(static_cast<std::int64_t>(text.size()));
  request.sampling.logprobs = 1;
  const auto sink = fixture.run(request);
  const auto& entries = sink->deltas().front().logprobs;
  REQUIRE(entries.size() == text.size());
  std::string bytes;
  for (const TokenText& entry : entries) bytes += entry.bytes;
  CHECK(bytes == text);
  // n, two bytes of é, four of the fox, x
  const std::vector<int> offsets{0, 1, 1, 2, 2, 2, 2, 3};
  for (std::size_t i = 0; i < offsets.size(); ++i) CHECK(entries[i].text_offset == offsets[i]);
  CHECK(entries[0].text == "n");
  CHECK(entries[1].text == "\xef\xbf\xbd");
  CHECK(entries[0].top.size() == 1);
  CHECK(entries[0].logprob == -0.25F);
}

TEST_CASE("echo puts the prompt and its logprobs first, and bypasses the prefix cache") {
  const auto tokenizer = demo_tokenizer();
  ServiceFixture fixture(spell(tokenizer, "!!"));
  GenerateRequest request = text_request("Né one");
  request.echo = true;
  request.sampling.logprobs = 1;
  request.sampling.max_tokens = 2;
  for (const bool stream : {false, true}) {
    request.stream = stream;
    const auto sink = fixture.run(request);
    CHECK(sink->text() == "Né one!!");
    const TextDelta& first = sink->deltas().front();
    REQUIRE(first.prompt_logprobs.size() == tokenizer->encode("Né one", true).size());
    CHECK_FALSE(first.prompt_logprobs[0].has_logprob);
    CHECK(first.prompt_logprobs[1].has_logprob);
    CHECK(first.prompt_logprobs[0].text_offset == 0);  // BOS is not part of the text
    CHECK(first.prompt_logprobs[1].text_offset == 0);
    CHECK(first.prompt_logprobs.back().text_offset < 6);
    CHECK(first.logprobs.front().text_offset == 6);
  }
  CHECK_FALSE(fixture.engine.submitted().front().use_prefix_cache);

  request.stream = false;
  request.sampling.max_tokens = 0;
  const auto sink = fixture.run(request);
  REQUIRE(sink->summary());
  CHECK(sink->text() == "Né one");
  CHECK(sink->deltas().front().finish == FinishReason::kLength);
  CHECK(sink->summary()->usage.completion_tokens == 0);
}

TEST_CASE("dropping the handle or cancelling ends the call and the sequence") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(1);
  options.engine.hold_after = 10;
  ServiceFixture fixture([](const SequenceRequest&) { return std::vector<std::int32_t>(1000, 50); },
                         options);
  for (const bool drop : {true, false}) {
    GenerateRequest request = story_request(900);
    request.stream = true;
    auto sink = std::make_shared<RecordingSink>();
    auto call = fixture.service->generate(request, sink);
    REQUIRE(sink->wait_for_deltas(3));
    if (drop) {
      call = nullptr;
    } else {
      call->cancel();
      call->cancel();
    }
    REQUIRE(sink->wait_for_end());
    REQUIRE(sink->error());
    CHECK(sink->error()->code == ErrorCode::kCancelled);
    CHECK(fixture.engine.wait_until_idle());
    CHECK_FALSE(sink->anything_after_end());
  }
}

TEST_CASE("errors have their codes before any work is done") {
  ServiceFixture fixture(spell(demo_tokenizer(), "x"));
  const auto error = [&](const GenerateRequest& request) {
    const auto sink = fixture.run(request);
    CHECK(sink->deltas().empty());
    return sink->error().value_or(Error{});
  };
  GenerateRequest request = story_request();
  request.model = "other";
  CHECK(error(request).code == ErrorCode::kNotFound);
  CHECK(error(request).reason == "model_not_found");
  CHECK(error(request).message == "The model `other` does not exist.");
  request = story_request();
  request.n = 1000000;
  CHECK(error(request).code == ErrorCode::kInvalidArgument);
  request = story_request(1 << 20);
  CHECK(error(request).reason == "context_length_exceeded");

  fixture.engine.refuse_with(Error{ErrorCode::kResourceExhausted, "full", {}, {}});
  CHECK(error(story_request()).code == ErrorCode::kResourceExhausted);
  fixture.engine.refuse_with(std::nullopt);
  CHECK(fixture.run(story_request())->summary());

  for (const auto& [state, reason] : {std::pair(ServiceState::kLoading, "model_loading"),
                                      std::pair(ServiceState::kDraining, "shutting_down"),
                                      std::pair(ServiceState::kFailed, "engine_failed")}) {
    fixture.service->set_state(state);
    CHECK(error(story_request()).code == ErrorCode::kUnavailable);
    CHECK(error(story_request()).reason == reason);
    CHECK(check_ready(state).error().reason == reason);
    CHECK(fixture.service->tokenize({"", std::string("x"), true}).error().reason == reason);
  }
  fixture.service->set_state(ServiceState::kLeaving);
  CHECK(fixture.run(story_request())->summary());
}

TEST_CASE("more sequences than are admitted are refused at once, and room comes back") {
  ServiceFixture::Options options;
  options.max_sequences = 4;
  ServiceFixture fixture(spell(demo_tokenizer(), "abc"), options);
  fixture.engine.pause(true);
  auto running = std::make_shared<RecordingSink>();
  GenerateRequest request = story_request(3);
  request.n = 3;
  const auto call = fixture.service->generate(request, running);
  GenerateRequest second = story_request(3);
  second.n = 2;
  CHECK(fixture.run(second)->error()->code == ErrorCode::kResourceExhausted);
  fixture.engine.pause(false);
  REQUIRE(running->wait_for_end());
  CHECK(running->summary());
  CHECK(fixture.run(second)->summary());
}

TEST_CASE("a deadline and an engine failure reach the caller as such") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(1);
  options.engine.hold_after = 10;
  ServiceFixture fixture([](const SequenceRequest&) { return std::vector<std::int32_t>(1000, 50); },
                         options);
  GenerateRequest request = story_request(1000);
  request.timeout_ms = 30;
  CHECK(fixture.run(request)->error()->code == ErrorCode::kDeadlineExceeded);

  request.timeout_ms = std::numeric_limits<std::int64_t>::max();
  request.stream = true;
  auto sink = std::make_shared<RecordingSink>();
  const auto call = fixture.service->generate(request, sink);
  REQUIRE(sink->wait_for_deltas(2));
  fixture.engine.fail_running({ErrorCode::kInternal, "device lost", {}, {}});
  REQUIRE(sink->wait_for_end());
  CHECK(sink->error()->code == ErrorCode::kInternal);
  CHECK(sink->error()->message == "device lost");
}

TEST_CASE("tokenize, detokenize, template and model cards") {
  ServiceFixture::Options options;
  options.service.served_model_names = {"first", "alias"};
  ServiceFixture fixture(spell(demo_tokenizer(), "x"), options);
  GenerationService& service = *fixture.service;
  const auto ids = service.tokenize({"", std::string("Once upon"), true});
  REQUIRE(ids);
  CHECK(ids->front() == 2);
  CHECK(service.detokenize("alias", *ids) == "</s>Once upon");
  CHECK(service.tokenize({"first", std::string(), false})->empty());
  CHECK(service.detokenize("", {-1}).error().code == ErrorCode::kInvalidArgument);
  CHECK(service.detokenize("nope", {1}).error().code == ErrorCode::kNotFound);
  ChatPrompt chat;
  chat.messages = {{"user", "hi", nullptr}};
  CHECK(service.apply_template("", chat) == "</s><user>hi</user><assistant>");
  CHECK(service.tokenize({"", chat, true})->at(0) == 2);
  CHECK(service.tokenize({"", chat, true})->at(1) != 2);
  REQUIRE(service.models().size() == 2);
  CHECK(service.models()[0].id == "first");
  CHECK(service.models()[0].root == "/models/demo");
  CHECK(service.models()[0].max_model_len == 1024);
  CHECK(service.serves("alias"));
  CHECK(service.serves(""));
  CHECK_FALSE(service.serves("demo"));
  CHECK(service.system_fingerprint() ==
        ServiceFixture(spell(demo_tokenizer(), "y")).service->system_fingerprint());
  CHECK(ServiceFixture(spell(demo_tokenizer(), "y")).service->models()[0].id == "demo");
}

TEST_CASE("the service ends while calls run") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::milliseconds(1);
  options.engine.hold_after = 10;
  std::shared_ptr<GenerationCall> call;
  auto sink = std::make_shared<RecordingSink>();
  {
    ServiceFixture fixture(
        [](const SequenceRequest&) { return std::vector<std::int32_t>(1000, 50); }, options);
    call = fixture.service->generate(story_request(900), sink);
    fixture.service = nullptr;
  }
  REQUIRE(sink->wait_for_end());
  CHECK(sink->error());
  call->cancel();
}

TEST_CASE("many callers and cancels: every call ends exactly once and nothing stays") {
  ServiceFixture::Options options;
  options.engine.step = std::chrono::microseconds(50);
  ServiceFixture fixture([](const SequenceRequest&) { return std::vector<std::int32_t>(40, 50); },
                         options);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 100; ++i) {
        GenerateRequest request = story_request(static_cast<std::int64_t>(1 + random() % 40));
        request.n = static_cast<int>(1 + random() % 4);
        request.stream = random() % 2 == 0;
        auto sink = std::make_shared<RecordingSink>();
        auto call = fixture.service->generate(request, sink);
        if (random() % 3 == 0) sink->wait_for_deltas(random() % 5);
        if (random() % 2 == 0) call = nullptr;
        if (!sink->wait_for_end() || sink->anything_after_end()) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  CHECK(fixture.engine.wait_until_idle());
  CHECK(fixture.service->active_calls() == 0);
}
