"""/metrics of a started daemon, read by Prometheus' own tools, and counted against what was asked."""

import shutil
import subprocess

import pytest
from daemon import wait_until
from prometheus_client.parser import text_string_to_metric_families

COUNTERS = {"_total", "_count", "_sum", "_bucket"}


def scrape(daemon):
    """Every sample: (name, labels) → value."""
    samples = {}
    for family in text_string_to_metric_families(daemon.get("/metrics").text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def value(samples, name, **labels):
    return samples[(name, tuple(sorted(labels.items())))]


def test_content_type(daemon):
    answer = daemon.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_has_no_complaint(daemon):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    check = subprocess.run(
        [promtool, "check", "metrics"],
        input=daemon.get("/metrics").content,
        capture_output=True,
        timeout=30,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_names_are_ours_and_every_label_value_is_there(daemon):
    samples = scrape(daemon)
    for name, labels in samples:
        assert name.startswith(("dejavu_", "process_"))
        assert ":" not in name
        assert len(labels) <= 3
    outcomes = {dict(labels)["outcome"] for name, labels in samples if name == "dejavu_requests_total"}
    assert {
        "stop",
        "length",
        "cancelled",
        "invalid_argument",
        "not_found",
        "resource_exhausted",
    } <= outcomes
    for api in ("completions", "chat", "grpc"):
        for outcome in outcomes:
            assert value(samples, "dejavu_requests_total", api=api, outcome=outcome) >= 0
    card = daemon.get("/v1/models").json()["data"][0]
    infos = [dict(labels) for name, labels in samples if name == "dejavu_model_info"]
    assert [info["model"] for info in infos] == [card["id"]]
    assert set(infos[0]) == {"model", "dtype", "device"}
    assert value(samples, "dejavu_build_info", version=daemon.get("/version").json()["version"]) == 1
    assert value(samples, "dejavu_ready") == 1
    assert value(samples, "dejavu_inter_token_latency_seconds_bucket", le="0.0002") >= 0
    assert value(samples, "process_resident_memory_bytes") > 1e6
    assert value(samples, "process_open_fds") > 0


GATEWAY_GAUGES = {
    "vllm:num_requests_waiting": "dejavu_requests_waiting",
    "vllm:num_requests_running": "dejavu_requests_running",
    "vllm:kv_cache_usage_perc": "dejavu_kv_cache_usage_ratio",
}


def test_gateway_names_when_asked_for(start_daemon):
    """What the Gateway API Inference Extension's endpoint picker reads, under its default names."""
    daemon = start_daemon("--metrics-compat", "--kv-cache-memory", "256M")
    samples = scrape(daemon)
    aliases = {name: labels for name, labels in samples if ":" in name}
    cache = dict(aliases.pop("vllm:cache_config_info"))
    assert aliases == dict.fromkeys(GATEWAY_GAUGES, ())
    assert int(cache["num_gpu_blocks"]) == value(samples, "dejavu_kv_cache_pages") > 0
    assert cache.keys() == {"block_size", "num_gpu_blocks"}
    assert value(samples, "vllm:cache_config_info", **cache) == 1
    body = {"prompt": "The sea", "n": 8, "max_tokens": 900, "ignore_eos": True, "stream": True}
    with daemon.http.stream("POST", "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()  # kept: a dropped iterator closes the connection
        next(lines)
        held = scrape(daemon)
    for alias, ours in GATEWAY_GAUGES.items():
        assert value(held, alias) == value(held, ours), alias
    assert 1 <= value(held, "vllm:num_requests_running") <= 8
    assert 0 < value(held, "vllm:kv_cache_usage_perc") <= 1
    # Colons are what promtool has against these names, and all that it has against the exposition.
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=daemon.get("/metrics").text,
        capture_output=True,
        text=True,
        timeout=30,
    )
    complaints = [line.split(" ", 1) for line in (check.stdout + check.stderr).splitlines()]
    assert {name for name, _ in complaints} == {*GATEWAY_GAUGES, "vllm:cache_config_info"}
    assert {what for _, what in complaints} == {"metric names should not contain ':'"}


def test_counters_grow_by_what_was_asked(daemon):
    body = {"prompt": "A hill and a tree", "max_tokens": 9, "temperature": 0, "ignore_eos": True}
    before = scrape(daemon)
    usage = daemon.post("/v1/completions", body).json()["usage"]
    assert daemon.post("/v1/completions", {**body, "temperature": -1}).status_code == 400

    def steps(samples):
        return value(samples, "dejavu_step_duration_seconds_count")

    # A step is recorded after its tokens have gone out.
    wait_until(lambda: steps(scrape(daemon)) >= steps(before) + 9)
    after = scrape(daemon)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("dejavu_requests_total", api="completions", outcome="length") == 1
    assert grown("dejavu_requests_total", api="completions", outcome="invalid_argument") == 1
    assert grown("dejavu_prompt_tokens_total") == usage["prompt_tokens"]
    assert grown("dejavu_generation_tokens_total") == usage["completion_tokens"] == 9
    assert grown("dejavu_time_to_first_token_seconds_count") == 1
    assert grown("dejavu_inter_token_latency_seconds_count") == 8
    assert grown("dejavu_e2e_request_latency_seconds_count") == 1
    assert grown("dejavu_request_queue_time_seconds_count") == 1
    assert grown("dejavu_step_batch_size_sum") >= 9
    for key, old in before.items():
        if any(key[0].endswith(suffix) for suffix in COUNTERS):
            assert after[key] >= old, f"{key} fell"


def test_prefix_hits_are_a_pair_of_counters(daemon):
    story = "There was a small house by the river where a painter lived with a grey cat. " * 4
    body = {"prompt": story, "max_tokens": 1, "cache_salt": "metrics"}
    first = daemon.post("/v1/completions", body).json()["usage"]
    before = scrape(daemon)
    second = daemon.post("/v1/completions", body).json()["usage"]
    after = scrape(daemon)
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    hits = value(after, "dejavu_prefix_cache_hits_total") - value(before, "dejavu_prefix_cache_hits_total")
    queries = value(after, "dejavu_prefix_cache_queries_total") - value(before, "dejavu_prefix_cache_queries_total")
    assert hits == cached
    assert hits <= queries <= second["prompt_tokens"]
