"""gRPC against a started daemon, with the stock client: calls, streams, errors, health, reflection."""

import threading
import time

import grpc
import pytest
from daemon import run_dejavu, wait_until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "dejavu.v1.Generation"


def metric(daemon, name):
    for line in daemon.get("/metrics").text.splitlines():
        if line.split(" ")[0] == name:
            return float(line.split(" ")[1])
    raise AssertionError(f"no metric {name}")


def code_of(call):
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return failure.value


def test_generate_is_what_http_answers(daemon, stub, pb):
    body = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    choice = daemon.post("/v1/completions", body).json()["choices"][0]
    answer = stub.Generate(pb.GenerateRequest(**body))
    assert answer.choices[0].text == choice["text"]
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_LENGTH
    assert len(answer.choices[0].token_ids) == answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24
    assert answer.model
    assert answer.timings.predicted_n == 24


def test_stream_adds_up_to_the_whole_answer(stub, pb):
    request = pb.GenerateRequest(prompt="The fox", max_tokens=40, temperature=0.8, seed=7, n=3, logprobs=2)
    whole = stub.Generate(request)
    texts, tokens, finished = {}, {}, {}
    messages = list(stub.GenerateStream(request))
    for message in messages[:-1]:
        index = message.choice.index
        texts[index] = texts.get(index, "") + message.choice.text
        tokens.setdefault(index, []).extend(message.choice.token_ids)
        if message.choice.finish_reason:
            finished[index] = message.choice.finish_reason
    assert not messages[-1].HasField("choice")
    assert messages[-1].HasField("timings")
    assert messages[-1].usage == whole.usage
    for choice in whole.choices:
        assert texts[choice.index] == choice.text
        assert tokens[choice.index] == list(choice.token_ids)
        assert finished[choice.index] == choice.finish_reason
        for entry, token in zip(choice.logprobs, choice.token_ids, strict=True):
            assert entry.token_id == token
            assert len(entry.top_logprobs) == 2
    assert len({choice.text for choice in whole.choices}) > 1  # each choice has its own seed


def test_chat_token_ids_and_lists(stub, pb):
    chat = pb.ChatPrompt(messages=[pb.ChatMessage(role="user", content="Tell a short story.")])
    answer = stub.Generate(pb.GenerateRequest(chat=chat, max_tokens=8, temperature=0))
    ids = stub.Tokenize(pb.TokenizeRequest(chat=chat)).tokens
    assert answer.usage.prompt_tokens == len(ids)
    same = stub.Generate(pb.GenerateRequest(prompt_token_ids=pb.TokenIds(ids=ids), max_tokens=8, temperature=0))
    assert same.choices[0].text == answer.choices[0].text
    prompts = pb.PromptList(prompts=[pb.PromptItem(prompt="One"), pb.PromptItem(prompt_token_ids=pb.TokenIds(ids=ids))])
    both = stub.Generate(pb.GenerateRequest(prompts=prompts, n=2, max_tokens=8, temperature=0))
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.choices[2].text == both.choices[3].text == answer.choices[0].text


def test_tokenize_and_back(stub, pb):
    text = "Grüße, 世界! 🦊"
    tokens = stub.Tokenize(pb.TokenizeRequest(prompt=text, add_special_tokens=False, return_token_strs=True))
    assert tokens.count == len(tokens.tokens) == len(tokens.token_strs)
    assert tokens.max_model_len > 0
    assert stub.Detokenize(pb.DetokenizeRequest(tokens=tokens.tokens)).prompt == text


def test_server_info(daemon, stub, pb):
    info = stub.GetServerInfo(pb.GetServerInfoRequest())
    card = daemon.get("/v1/models").json()["data"][0]
    assert info.state == "ready"
    assert info.models[0].id == card["id"]
    assert info.models[0].max_model_len == card["max_model_len"]
    assert info.version == daemon.get("/version").json()["version"]


def test_stop_string_and_metadata(stub, pb):
    plain = stub.Generate(pb.GenerateRequest(prompt="Once upon a time", max_tokens=32, temperature=0))
    stop = plain.choices[0].text[10:14]
    answer, call = stub.Generate.with_call(
        pb.GenerateRequest(prompt="Once upon a time", max_tokens=32, temperature=0, stop=[stop]),
        metadata=[("x-request-id", "from-the-test")],
    )
    text = plain.choices[0].text
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].stop_string == stop
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_STOP
    assert dict(call.initial_metadata())["x-request-id"] == "from-the-test"


def test_errors_have_their_codes(stub, pb):
    too_long = code_of(lambda: stub.Generate(pb.GenerateRequest(prompt="x", max_tokens=1000000)))
    assert too_long.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert dict(too_long.trailing_metadata())["error-code"] == "context_length_exceeded"
    assert "maximum context length" in too_long.details()
    for wrong, field in [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000000}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ]:
        error = code_of(lambda wrong=wrong: stub.Generate(pb.GenerateRequest(prompt="x", **wrong)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert dict(error.trailing_metadata())["error-param"] == field
    assert code_of(lambda: stub.Generate(pb.GenerateRequest())).code() == grpc.StatusCode.INVALID_ARGUMENT
    unknown = code_of(lambda: stub.Generate(pb.GenerateRequest(model="no-such", prompt="x")))
    assert unknown.code() == grpc.StatusCode.NOT_FOUND
    stream = code_of(lambda: list(stub.GenerateStream(pb.GenerateRequest(model="no-such", prompt="x"))))
    assert stream.code() == grpc.StatusCode.NOT_FOUND


def test_cancel_frees_the_sequence(daemon, stub, pb):
    stream = stub.GenerateStream(pb.GenerateRequest(prompt="x", max_tokens=1000, ignore_eos=True))
    next(stream)
    stream.cancel()
    wait_until(lambda: metric(daemon, "dejavu_requests_running") == 0)
    wait_until(lambda: metric(daemon, "dejavu_kv_cache_pages_used") == 0)


def test_deadlines(daemon, stub, pb):
    request = pb.GenerateRequest(prompt="x", max_tokens=1000, ignore_eos=True, n=16)
    late = code_of(lambda: stub.Generate(request, timeout=0.05))
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    request.timeout_ms = 20
    late = code_of(lambda: stub.Generate(request))
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: metric(daemon, "dejavu_requests_running") == 0)


def test_a_message_may_be_large(stub, pb):
    text = "word " * 1_500_000  # above gRPC's own default of 4 MiB
    error = code_of(lambda: stub.Generate(pb.GenerateRequest(prompt=text)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert dict(error.trailing_metadata())["error-code"] == "context_length_exceeded"
    error = code_of(lambda: stub.Generate(pb.GenerateRequest(prompt="x" * (33 << 20))))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # gRPC's code for its message limit


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for name in ("", SERVICE):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == serving
    assert (
        code_of(lambda: health.Check(health_pb2.HealthCheckRequest(service="no.such"))).code()
        == grpc.StatusCode.NOT_FOUND
    )
    watch = health.Watch(health_pb2.HealthCheckRequest(service="no.such"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_reflection_shows_the_service(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    file = database.FindFileContainingSymbol(SERVICE)
    assert {method.name for method in file.service[0].method} == {
        "Generate",
        "GenerateStream",
        "Tokenize",
        "Detokenize",
        "GetServerInfo",
        "GetSparsity",
    }


def test_pings_every_ten_seconds_are_welcome(daemon, stubs):
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(daemon.grpc_address, options) as channel:
        states = []
        channel.subscribe(states.append, try_to_connect=True)
        wait_until(lambda: grpc.ChannelConnectivity.READY in states)
        time.sleep(35)  # three pings; a server that minds them sends GOAWAY at the third
        assert states[-1] == grpc.ChannelConnectivity.READY
        pb, services = stubs
        services.GenerationStub(channel).GetServerInfo(pb.GetServerInfoRequest())


def test_many_streams_at_once(stub, pb):
    alone = stub.Generate(pb.GenerateRequest(prompt="The sea", max_tokens=16, temperature=1, seed=5))
    answers = [None] * 16

    def ask(i):
        request = pb.GenerateRequest(prompt="The sea", max_tokens=16, temperature=1, seed=5)
        answers[i] = "".join(message.choice.text for message in stub.GenerateStream(request))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(answers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone.choices[0].text] * len(answers)


def test_a_second_daemon_on_the_port_fails(daemon):
    port = daemon.grpc_address.rsplit(":", 1)[1]
    second = run_dejavu("serve", "--port", "0", "--grpc-port", port)
    assert second.returncode == 2
    assert port in second.stderr
