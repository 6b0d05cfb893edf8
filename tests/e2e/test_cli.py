"""The executable as a user meets it: options, exit codes, signals, and the client commands."""

import json
import os
import re
import shutil
import signal
import socket
import threading
import time

import grpc
import httpx
import pytest
from daemon import REPOSITORY, run_dejavu

DEMO = REPOSITORY / "models" / "demo"


def printed(output, name):
    """The value and the source that --print-config shows for an option."""
    found = re.search(rf"^{name} = (.*?)\s+# (.*)$", output, re.M)
    assert found, f"{name} is not in:\n{output}"
    return found.groups()


class Stream(threading.Thread):
    """A streamed completion read in the background."""

    def __init__(self, url, max_tokens, **fields):
        super().__init__(daemon=True)
        self.request = {
            "prompt": "Once upon a time",
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            **fields,
        }
        self.url = url
        self.events = []
        self.error = None
        self.begun = threading.Event()
        self.start()

    def run(self):
        try:
            with httpx.stream("POST", f"{self.url}/v1/completions", json=self.request, timeout=120) as answer:
                answer.raise_for_status()
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.events.append(line[6:])
                        self.begun.set()
        except httpx.HTTPError as error:
            self.error = error
        self.begun.set()


def test_version_and_help():
    version = run_dejavu("--version")
    assert version.returncode == 0
    assert re.fullmatch(r"dejavu \d+\.\d+\.\d+\n", version.stdout)
    for command in ([], ["serve"], ["generate"], ["bench"], ["bench", "serve"], ["health"]):
        answer = run_dejavu(*command, "--help")
        assert answer.returncode == 0
        assert "Usage: dejavu" in answer.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["serve", "--port", "65536"], r"--port.*\[0, 65535\]"),
        (["serve", "--prot", "1"], r"--prot; did you mean --port\?"),
        (["serv"], r"did you mean serve\?"),
        ([], r"dejavu --help"),
        (["serve", "--dtype", "int8"], r"--dtype.*auto\|float32\|bfloat16\|float16"),
        (["serve", "--device", "cuda"], r"cuda|CUDA|GPU"),
        (["serve", "no/such/model"], r"no/such/model"),
        (["health", "--url", "ftp://x"], r"--url"),
        (["bench", "serve", "--goodput", "ttfb:3"], r"--goodput"),
    ],
)
def test_a_wrong_start_is_refused_with_one_message(args, message):
    answer = run_dejavu(*args)
    assert answer.returncode == 2, answer.stderr
    last = answer.stderr.strip().splitlines()[-1]
    assert re.search(message, last), answer.stderr


@pytest.mark.parametrize("command", ["serve", "generate"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--chat-template", "/no/such/file"], "--chat-template /no/such/file: No such file"),
        (["--chat-template", "{directory}"], "--chat-template {directory}: Is a directory"),
        (["--chat-template", "{template}"], "--chat-template {template}: "),
        (["--override-generation-config", "["], "--override-generation-config must be a JSON object"),
        (["--override-generation-config", '{"hot": 1}'], "--override-generation-config: unknown key 'hot'"),
        (["--override-generation-config", '{"top_p": 0}'], "--override-generation-config: top_p must be"),
        (["--config", "/no/such/file.toml"], "--config /no/such/file.toml: No such file"),
        (["--config", "{directory}"], "--config {directory}: Is a directory"),
    ],
)
def test_a_wrong_file_or_json_is_refused_before_anything_starts(tmp_path, command, args, message):
    template = tmp_path / "wrong.jinja"
    template.write_text("{% for x in %}")
    names = {"directory": tmp_path, "template": template}

    def named(text):
        for name, path in names.items():
            text = text.replace("{" + name + "}", str(path))
        return text

    answer = run_dejavu(command, *map(named, args))
    assert answer.returncode == 2
    assert answer.stderr.startswith("dejavu: " + named(message))
    assert answer.stderr.count("\n") == 1


def test_a_prompt_file_that_cannot_be_read_names_the_option(tmp_path):
    for path, why in (("/no/such/file", "No such file"), (tmp_path, "Is a directory")):
        answer = run_dejavu("generate", "-p", f"@{path}")
        assert answer.returncode == 2
        assert f"--prompt @{path}: {why}" in answer.stderr


def test_ranges_that_leave_out_their_end_say_so():
    for option, high in (("--top-p", 1), ("--repetition-penalty", 2)):
        answer = run_dejavu("generate", option, "0", "-p", "a")
        assert answer.returncode == 2
        assert f"{option}: '0' is not allowed here; use a number in (0, {high}]" in answer.stderr
        assert f"{option} (0, {high}]" in run_dejavu("generate", "--help").stdout


def test_an_option_that_takes_one_word_at_a_time_shows_one():
    assert re.search(r"--served-model-name TEXT\s+name", run_dejavu("serve", "--help").stdout)


def test_print_config_shows_values_and_where_they_come_from(tmp_path):
    file = tmp_path / "dejavu.toml"
    file.write_text("port = 1001\nmax-num-seqs = 11\nlog_format = 'json'\n")
    env = {"DEJAVU_HTTP_PORT": "1002", "DEJAVU_MAX_NUM_SEQS": "12", "DEJAVU_CONFIG": str(file)}
    output = run_dejavu("serve", "--port", "1003", "--print-config", env=env).stdout
    assert printed(output, "port") == ("1003", "--port")
    assert printed(output, "max-num-seqs") == ("12", "DEJAVU_MAX_NUM_SEQS")
    assert printed(output, "log-format") == ('"json"', str(file))
    assert printed(output, "grpc-port") == ("50051", "default")


def test_kubernetes_variables_only_warn():
    env = {"DEJAVU_PORT": "tcp://10.0.0.1:8000", "DEJAVU_GRPC_PORT": "tcp://10.0.0.1:1"}
    answer = run_dejavu("serve", "--print-config", env=env)
    assert answer.returncode == 0
    assert printed(answer.stdout, "port") == ("8000", "default")
    assert printed(answer.stdout, "grpc-port") == ("50051", "default")
    assert "DEJAVU_PORT" in answer.stderr


def test_a_broken_model_ends_with_2_and_names_the_file(tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(DEMO, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    answer = run_dejavu("serve", broken, "--port", "0", "--grpc-port", "0")
    assert answer.returncode == 2
    assert str(weights) in answer.stderr


def test_environment_and_names(start_daemon):
    daemon = start_daemon("--served-model-name", "first,second", env={"DEJAVU_MAX_MODEL_LEN": "128"})
    cards = daemon.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == ["first", "second"]
    assert cards[0]["max_model_len"] == 128


def test_the_ready_block(daemon):
    daemon.wait_for_line("try ")
    for part in ("dejavu-demo", "of weights", "kv_cache", "full length", "sampling", daemon.url):
        assert part in daemon.log
    assert "--port 0" in daemon.log  # options that are not defaults


def test_the_printed_curl_line_works(daemon):
    import subprocess

    line = daemon.wait_for_line(r"try\s+(curl .*)$").group(1)
    answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert json.loads(answer.stdout)["choices"][0]["text"]


def test_a_second_daemon_on_the_port_is_refused(daemon):
    for option, address in (("--port", daemon.http_address), ("--grpc-port", daemon.grpc_address)):
        other = "--grpc-port" if option == "--port" else "--port"
        port = address.rsplit(":", 1)[1]
        answer = run_dejavu("serve", option, port, other, "0")
        assert answer.returncode != 0
        assert port in answer.stderr.strip().splitlines()[-1]


@pytest.fixture
def loading_model(tmp_path):
    """The demo model with a pipe in place of its tokenizer: loading waits until it is written."""
    for file in DEMO.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "tokenizer.json").unlink()
    os.mkfifo(tmp_path / "tokenizer.json")
    return tmp_path


def test_while_it_loads_every_refusal_has_one_code(start_daemon, loading_model, stubs):
    daemon = start_daemon(loading_model, ready=False)
    body = {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}
    answers = [daemon.get(path) for path in ("/ready", "/v1/sparsity")]
    answers += [daemon.post(path, body) for path in ("/v1/completions", "/v1/chat/completions", "/tokenize")]
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"]["code"] for answer in answers} == {"model_loading"}
    pb, services = stubs
    with grpc.insecure_channel(daemon.grpc_address) as channel:
        stub = services.GenerationStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Generate(pb.GenerateRequest(prompt="a"))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert dict(refused.value.trailing_metadata())["error-code"] == "model_loading"
        assert stub.GetServerInfo(pb.GetServerInfoRequest()).state == "loading"
    assert daemon.get("/health").status_code == 200
    (loading_model / "tokenizer.json").write_bytes((DEMO / "tokenizer.json").read_bytes())
    daemon.wait_ready()


def test_sigterm_finishes_what_runs_and_refuses_the_rest(start_daemon):
    daemon = start_daemon("--drain-timeout", "60")
    channel = grpc.insecure_channel(daemon.grpc_address)
    grpc.channel_ready_future(channel).result(60)
    stream = Stream(daemon.url, 900, n=8)
    assert stream.begun.wait(60)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait_for_line("stopping")
    ready = daemon.get("/ready")
    assert ready.status_code == 503
    refused = daemon.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == ready.json()["error"]["code"] == "shutting_down"
    assert stream.is_alive(), "the stream ended before the drain was looked at"
    stream.join(120)
    assert stream.error is None
    assert stream.events[-1] == "[DONE]"
    assert json.loads(stream.events[-2])["usage"]["completion_tokens"] == 8 * 900
    assert daemon.wait() == 0


def test_the_drain_timeout_cuts_off(start_daemon):
    daemon = start_daemon("--drain-timeout", "0.2")
    streams = [Stream(daemon.url, 1000) for _ in range(8)]
    assert all(stream.begun.wait(60) for stream in streams)
    started = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert time.monotonic() - started < 30
    for stream in streams:
        stream.join(30)
        assert not stream.is_alive()
        assert "shutting down" in "".join(stream.events[-2:]), stream.events[-2:]


def test_a_second_signal_ends_at_once(start_daemon):
    daemon = start_daemon("--drain-timeout", "600")
    streams = [Stream(daemon.url, 1000) for _ in range(8)]
    assert all(stream.begun.wait(60) for stream in streams)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait_for_line("stopping")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait() == -signal.SIGTERM


def test_health(daemon):
    for url in (daemon.url, f"grpc://{daemon.grpc_address}"):
        answer = run_dejavu("health", "--url", url)
        assert answer.returncode == 0, answer.stdout
        assert "ready" in answer.stdout
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("http", "grpc"):
        url = f"{scheme}://127.0.0.1:{port}"
        assert run_dejavu("health", "--url", url, "--timeout", "2").returncode == 1


def test_generate_streams_and_writes_json(tmp_path, daemon):
    out = tmp_path / "out.json"
    greedy = ["--temperature", "0", "--max-tokens", "24", "--json", out]
    answer = run_dejavu("generate", "-p", "Once upon a time", *greedy)
    assert answer.returncode == 0, answer.stderr
    result = json.loads(out.read_text())
    assert result["text"] + "\n" == answer.stdout
    assert result["completion_tokens"] == 24
    assert result["finish_reason"] == "length"
    served = daemon.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0})
    assert served.json()["choices"][0]["text"] == result["text"]


def test_generate_reads_files_and_standard_input(tmp_path):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Once upon a time\n")
    options = ["--temperature", "0", "--max-tokens", "8"]
    said = run_dejavu("generate", "-p", "Once upon a time", *options).stdout
    assert run_dejavu("generate", "-p", f"@{prompt}", *options).stdout == said
    assert run_dejavu("generate", *options, input="Once upon a time\n").stdout == said
    chat = run_dejavu("generate", "--chat", "-p", "Tell me a story.", *options)
    assert chat.returncode == 0, chat.stderr
    assert chat.stdout.strip()


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_bench_serve(tmp_path, daemon, scheme):
    out = tmp_path / "load.json"
    address = daemon.http_address if scheme == "http" else daemon.grpc_address
    lengths = ["--random-input-len", "20", "--random-output-len", "10", "--ignore-eos"]
    answer = run_dejavu(
        "bench", "serve", "--url", f"{scheme}://{address}", "--num-prompts", "12",
        "--max-concurrency", "4", *lengths, "--goodput", "e2el:60000", "--json", out,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr + answer.stdout
    result = json.loads(out.read_text())
    assert result["completed"] == 12
    assert result["failed"] == 0
    assert result["total_output_tokens"] == 12 * 10
    assert result["total_input_tokens"] in (12 * 20, 12 * 21)  # one more where BOS is added
    assert result["request_goodput"] == pytest.approx(result["request_throughput"])
    for name in ("ttft", "tpot", "itl", "e2el"):
        ordered = [result[f"{p}_{name}_ms"] for p in ("p50", "p90", "p99")]
        assert 0 < ordered[0] <= ordered[1] <= ordered[2]
    for word in ("time to first token", "inter-token latency", "p99", "goodput"):
        assert word in answer.stdout


def test_bench_serve_counts_refusals_and_reads_a_dataset(tmp_path, start_daemon):
    daemon = start_daemon("--max-num-seqs", "1", "--max-queued", "1")
    dataset = tmp_path / "prompts.jsonl"
    dataset.write_text('{"prompt": "Once upon a time"}\n{"text": "The sea"}\n')
    out = tmp_path / "load.json"
    answer = run_dejavu(
        "bench", "serve", "--url", daemon.url, "--num-prompts", "16", "--dataset", dataset,
        "--random-output-len", "200", "--ignore-eos", "--json", out,
    )  # fmt: skip
    assert answer.returncode == 1
    result = json.loads(out.read_text())
    assert result["completed"] >= 1
    assert result["completed"] + result["failed"] == 16
    assert any("429" in message for message in result["errors"])


def test_bench_serve_keeps_to_the_request_rate(tmp_path, daemon):
    out = tmp_path / "load.json"
    answer = run_dejavu(
        "bench", "serve", "--url", daemon.url, "--num-prompts", "10", "--request-rate", "10",
        "--burstiness", "1000", "--random-input-len", "4", "--random-output-len", "1",
        "--json", out,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    # Nine gaps of a tenth of a second, nearly equal at this burstiness.
    assert json.loads(out.read_text())["duration"] > 0.8
