"""Contextual sparsity of a started daemon: modes asked for, refused, reported and counted."""

import json
import re
import shutil

import grpc
import openai
import pytest
from daemon import run_dejavu
from google.protobuf.json_format import MessageToDict
from test_metrics import scrape, value

MODEL = "dejavu-demo"
PROMPT = "Once upon a time"


@pytest.fixture(scope="session")
def status(daemon):
    return daemon.get("/v1/sparsity").json()


def complete(client, sparsity=None, **fields):
    fields = {"prompt": PROMPT, "max_tokens": 24, "temperature": 0, **fields}
    extra = {"ignore_eos": True} | ({} if sparsity is None else {"sparsity": sparsity})
    return client.completions.create(model=MODEL, extra_body=extra, **fields)


def check_use(use, mode):
    assert use["mode"] == mode
    for density in (use["mlp_density"], use["head_density"]):
        assert 0 <= density <= 1
    if mode == "dense":
        assert use["mlp_density"] == use["head_density"] == 1
    else:
        assert use["mlp_density"] < 1
    if mode in ("exact", "threshold"):
        assert use["head_density"] == 1


def test_the_status_names_mode_levels_and_layers(status):
    assert {"dense", "exact"} <= set(status["allowed"])
    assert status["mode"] in status["allowed"]
    assert status["reason"]
    assert len(status["layers"]) == 8
    for number, layer in enumerate(status["layers"]):
        assert layer["layer"] == number
        for block in (layer["mlp"], layer["heads"]):
            assert {"mode", "density", "recall", "thresholds", "audit"} <= set(block)
            assert 0 <= block["density"] <= 1
    assert status["layers"][0]["heads"]["mode"] == "dense"


def test_every_allowed_mode_can_be_chosen(client, status):
    for mode in status["allowed"]:
        check_use(complete(client, {"mode": mode}).sparsity, mode)
    chat = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Tell a story."}],
        max_tokens=8,
        extra_body={"sparsity": {"mode": "exact"}, "ignore_eos": True},
    )
    check_use(chat.sparsity, "exact")


def test_without_a_wish_the_server_chooses(client, status):
    assert complete(client).sparsity["mode"] == status["mode"]
    assert complete(client, {"mode": "auto"}).sparsity["mode"] == status["mode"]
    assert complete(client, {}).sparsity["mode"] == status["mode"]


def test_exact_gives_the_dense_text(client):
    dense = complete(client, {"mode": "dense"}, max_tokens=64)
    exact = complete(client, {"mode": "exact"}, max_tokens=64)
    assert exact.choices[0].text == dense.choices[0].text
    assert exact.sparsity["mlp_density"] < 0.7


def test_every_level_can_be_chosen(client, status):
    for mode, levels in status["levels"].items():
        for level in levels:
            check_use(complete(client, {"mode": mode, "target_recall": level}).sparsity, mode)


def test_the_header_of_a_whole_reply_says_the_same_as_its_body(client):
    raw = client.completions.with_raw_response.create(
        model=MODEL, prompt=PROMPT, max_tokens=8, extra_body={"sparsity": {"mode": "exact"}}
    )
    mode, mlp, heads = raw.headers["x-dejavu-sparsity"].split("; ")
    use = raw.parse().sparsity
    assert mode == use["mode"] == "exact"
    assert mlp == f"mlp_density={use['mlp_density']}"
    assert heads == f"head_density={use['head_density']}"


def test_a_stream_says_its_mode_at_the_start_and_the_rest_at_the_end(client):
    whole = complete(client, {"mode": "exact"})
    raw = client.completions.with_raw_response.create(
        model=MODEL,
        prompt=PROMPT,
        max_tokens=24,
        temperature=0,
        stream=True,
        extra_body={"sparsity": {"mode": "exact"}, "ignore_eos": True},
    )
    assert raw.headers["x-dejavu-sparsity"] == "exact"
    chunks = list(raw.parse())
    assert all("sparsity" not in chunk.model_extra for chunk in chunks[:-1])
    assert chunks[-1].sparsity == whole.sparsity
    assert chunks[-1].choices[0].finish_reason == "length"


def test_usage_keeps_the_last_chunk(client):
    chunks = list(complete(client, {"mode": "exact"}, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 24
    check_use(chunks[-1].sparsity, "exact")
    assert all("sparsity" not in chunk.model_extra for chunk in chunks[:-1])


@pytest.mark.parametrize("usage", [False, True])
def test_per_chunk_densities_average_to_the_whole(client, usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    wish = {"mode": "exact", "per_chunk": True}
    chunks = list(complete(client, wish, stream=True, **options))
    total = chunks[-1].sparsity
    own = [chunk.sparsity for chunk in chunks[:-1]]
    if not usage:
        own.append(total["chunk"])
    assert len(own) == 24
    mean = sum(use["mlp_density"] for use in own) / len(own)
    assert mean == pytest.approx(total["mlp_density"], abs=2e-4)
    assert own[0]["mlp_density"] == 1  # from the prompt, which is always dense
    assert all(use["mlp_density"] < 1 for use in own[1:])


@pytest.mark.parametrize(
    ("sparsity", "param"),
    [
        ("exact", "sparsity"),
        ({"mode": "sparse"}, "sparsity.mode"),
        ({"mode": 1}, "sparsity.mode"),
        ({"mode": "exact", "target_recall": 0.9}, "sparsity.target_recall"),
        ({"target_recall": "0.9"}, "sparsity.target_recall"),
        ({"mode": "dense", "target_recall": 0.123}, "sparsity.target_recall"),
        ({"mode": "exact", "per_chunk": "yes"}, "sparsity.per_chunk"),
        ({"recall": 0.9}, "sparsity.recall"),
    ],
)
def test_a_wrong_wish_is_a_400_that_names_its_field(client, sparsity, param):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            complete(client, sparsity, stream=stream)
        assert refused.value.param == param


def test_what_is_not_allowed_is_refused_naming_what_is(start_daemon):
    daemon = start_daemon("--sparsity", "dense", "--sparsity-allow", "dense,exact")
    assert daemon.get("/v1/sparsity").json()["allowed"] == ["dense", "exact"]
    body = {"prompt": PROMPT, "max_tokens": 4}
    assert daemon.post("/v1/completions", body).json()["sparsity"]["mode"] == "dense"
    allowed = daemon.post("/v1/completions", {**body, "sparsity": {"mode": "exact"}})
    assert allowed.json()["sparsity"]["mode"] == "exact"
    refused = daemon.post("/v1/completions", {**body, "sparsity": {"mode": "lookahead"}})
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert "dense" in message
    assert "exact" in message


def test_grpc_chooses_refuses_and_reports(stubs, stub, status):
    pb = stubs[0]

    def request(**sparsity):
        return pb.GenerateRequest(
            prompt=PROMPT, max_tokens=8, temperature=0, ignore_eos=True, sparsity=pb.Sparsity(**sparsity)
        )

    whole = stub.Generate(request(mode="exact"))
    assert whole.sparsity.mode == "exact"
    assert whole.sparsity.mlp_density < 1
    call = stub.GenerateStream(request(mode="exact", per_chunk=True))
    assert dict(call.initial_metadata())["x-dejavu-sparsity"] == "exact"
    *messages, last = call
    assert last.sparsity == whole.sparsity
    own = [message.sparsity.mlp_density for message in messages]
    assert sum(own) / len(own) == pytest.approx(last.sparsity.mlp_density)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Generate(request(mode="sparse"))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert dict(refused.value.trailing_metadata())["error-param"] == "sparsity.mode"
    answer = stub.GetSparsity(pb.GetSparsityRequest())
    assert answer.mode == status["mode"]
    assert list(answer.allowed) == status["allowed"]
    assert len(answer.layers) == 8
    assert answer.layers[3].mlp.density == status["layers"][3]["mlp"]["density"]


def test_grpc_tells_it_layer_by_layer(stub, pb, client):
    wish = {"mode": "exact", "per_layer": True}
    request = pb.GenerateRequest(
        prompt=PROMPT, max_tokens=8, temperature=0, ignore_eos=True, sparsity=pb.Sparsity(**wish)
    )
    *messages, last = stub.GenerateStream(request)
    assert not last.sparsity.HasField("layers")
    first, *tokens = [message.sparsity for message in messages]
    assert first.mlp_density == 1  # from the prompt: dense, so without layers
    assert not first.HasField("layers")
    chunks = complete(client, wish, max_tokens=8, stream=True)
    uses = [chunk.sparsity.get("chunk", chunk.sparsity) for chunk in chunks]
    assert len(tokens) == len(uses[1:]) == 7
    for ours, json_use in zip(tokens, uses[1:], strict=True):
        assert sum(ours.layers.mlp) / 8 == pytest.approx(ours.mlp_density, abs=1e-5)
        assert list(ours.layers.mlp) == pytest.approx(json_use["layers"]["mlp"], abs=1e-4)
        assert list(ours.layers.heads) == pytest.approx(json_use["layers"]["heads"], abs=1e-4)
        assert ours.weight_share == pytest.approx(json_use["weight_share"], abs=1e-4)


def leaves(value, path=()):
    """Every figure of nested objects and lists, by its path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    return {deep: leaf for key, inner in items for deep, leaf in leaves(inner, (*path, key)).items()}


def test_grpc_and_http_tell_the_same_status(daemon, stub, pb):
    """Each figure of GET /v1/sparsity has a field of GetSparsityResponse, and the other way round."""
    http = leaves(daemon.get("/v1/sparsity").json())
    del http[("object",)]
    message = stub.GetSparsity(pb.GetSparsityRequest())
    rpc = leaves(MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
    names = {
        "levels": {"lookahead": "lookahead_levels", "threshold": "threshold_levels"},
        "predictor": {"seconds": "predictor_seconds", "overlapped_seconds": "overlapped_seconds"},
        "thresholds": {"low": "threshold_low", "high": "threshold_high"},
        "steps": {method: f"{method}_steps" for method in ("gather", "whole_read", "dense")}
        | {"skip_zeros": "skip_zero_steps"},
    }

    def renamed(path):
        for i, key in enumerate(path[:-1]):
            if key in names:
                return (*path[:i], names[key][path[i + 1]], *path[i + 2 :])
        return path

    told = {renamed(path): leaf for path, leaf in http.items() if leaf is not None}
    assert told.keys() == rpc.keys()
    for path, leaf in told.items():
        if path[-1] in ("mode", "reason", "density", "recall", "threshold_low", "threshold_high"):
            assert rpc[path] == leaf, path


def test_metrics_count_units_and_methods(daemon, client):
    before = scrape(daemon)
    complete(client, {"mode": "exact"}, max_tokens=40)
    after = scrape(daemon)

    def grown(name, **labels):
        key = f"dejavu_sparsity_{name}"
        return value(after, key, **labels) - value(before, key, **labels)

    for layer in map(str, range(8)):
        mlp = {"layer": layer, "block": "mlp"}
        assert grown("candidate_units_total", **mlp) >= 39 * 1536
        assert 0 < grown("selected_units_total", **mlp) < grown("candidate_units_total", **mlp)
        methods = {
            method: grown("steps_total", method=method, **mlp)
            for method in ("gather", "whole_read", "skip_zeros", "dense")
        }
        assert methods["skip_zeros"] + methods["whole_read"] >= 39
        for name in ("audit_error_ratio", "predicted_recall_ratio", "dense_fallbacks_total"):
            for block in ("mlp", "heads"):
                assert value(after, f"dejavu_sparsity_{name}", layer=layer, block=block) >= 0


def test_metrics_time_predictors_and_what_runs_beside_other_work(daemon, client):
    def times():
        samples = scrape(daemon)
        return [value(samples, f"dejavu_sparsity_predictor_{name}seconds_total") for name in ("", "overlapped_")]

    before = times()
    complete(client, {"mode": "exact"})
    assert times() == before
    complete(client, {"mode": "lookahead"})
    total, overlapped = (late - early for late, early in zip(times(), before, strict=True))
    assert 0 < overlapped < total


def test_inline_predictors_hide_nothing_and_change_nothing(client, start_daemon):
    wish = {"mode": "lookahead"}
    daemon = start_daemon("--inline-predictors")
    body = {"prompt": PROMPT, "max_tokens": 24, "temperature": 0, "ignore_eos": True, "sparsity": wish}
    answer = daemon.post("/v1/completions", body).json()
    assert answer["choices"][0]["text"] == complete(client, wish).choices[0].text
    assert daemon.metric("dejavu_sparsity_predictor_seconds_total") > 0
    assert daemon.metric("dejavu_sparsity_predictor_overlapped_seconds_total") == 0


def test_generate_takes_a_mode_and_reports_it(tmp_path):
    out = tmp_path / "out.json"
    answer = run_dejavu("generate", "--sparsity", "exact", "-p", PROMPT, "--max-tokens", 8, "--json", out)
    assert answer.returncode == 0, answer.stderr
    check_use(json.loads(out.read_text())["sparsity"], "exact")


def test_an_artifact_that_is_not_there_is_refused_by_name(tmp_path):
    missing = tmp_path / "nothing"
    answer = run_dejavu("serve", "--sparsity-artifact", missing, "--port", 0, "--grpc-port", 0)
    assert answer.returncode == 2, answer.stderr
    assert str(missing) in answer.stderr


def test_the_ready_block_says_what_auto_became(daemon, status):
    line = re.search(r"sparsity +(.*)", daemon.log)
    assert line, daemon.log
    assert status["mode"] in line.group(1)
    assert status["reason"] in line.group(1)


def test_lookahead_at_each_level_of_an_artifact(start_daemon, fixed_artifact):
    daemon = start_daemon("--sparsity-artifact", fixed_artifact, "--audit-interval", 0)
    status = daemon.get("/v1/sparsity").json()
    assert status["mode"] == "lookahead"
    assert status["target_recall"] == 0.75
    assert status["levels"]["lookahead"] == [0.5, 0.75, 1]
    assert status["artifact"] == str(fixed_artifact)
    tokens = 21
    body = {"prompt": PROMPT, "max_tokens": tokens, "ignore_eos": True}
    for level, heads in ((0.5, 3 / 6), (0.75, 5 / 6), (1, 1)):
        wish = {"mode": "lookahead", "target_recall": level}
        use = daemon.post("/v1/completions", {**body, "sparsity": wish}).json()["sparsity"]
        sparse = (tokens - 1) / tokens  # the first token comes from the prompt
        assert use["mlp_density"] == pytest.approx(1 - sparse * (1 - level), abs=1e-3)
        # Layer 0's heads are dense.
        assert use["head_density"] == pytest.approx(1 - sparse * 7 / 8 * (1 - heads), abs=1e-3)
    assert daemon.post("/v1/completions", body).json()["sparsity"]["mode"] == "lookahead"
    refused = daemon.post("/v1/completions", {**body, "sparsity": {"target_recall": 0.9}})
    assert refused.status_code == 400
    assert "0.75" in refused.json()["error"]["message"]
    assert daemon.metric("dejavu_sparsity_predictor_seconds_total") > 0


def test_a_bad_predictor_is_widened_then_made_dense(start_daemon, fixed_artifact):
    daemon = start_daemon("--sparsity-artifact", fixed_artifact, "--audit-interval", 1, "--audit-error-limit", 0.001)
    body = {"prompt": PROMPT, "max_tokens": 500, "ignore_eos": True}
    for _ in range(8):
        assert daemon.post("/v1/completions", body).status_code == 200
        layers = daemon.get("/v1/sparsity").json()["layers"]
        fallen = [n for n, layer in enumerate(layers) if layer["mlp"]["audit"]["fallen_back"]]
        if fallen:
            break
    assert fallen, layers
    audit = layers[fallen[0]]["mlp"]["audit"]
    assert audit["count"] > 0
    assert audit["widened"] == 2
    samples = scrape(daemon)
    labels = {"layer": str(fallen[0]), "block": "mlp"}
    assert value(samples, "dejavu_sparsity_dense_fallbacks_total", **labels) == 1
    assert value(samples, "dejavu_sparsity_widened_total", **labels) == 2
    assert value(samples, "dejavu_sparsity_audit_error_total", **labels) > 0
    daemon.wait_for_line(r"sparsity: .*dense")


def test_an_artifact_of_another_model_or_a_broken_one_is_refused_by_name(tmp_path, fixed_artifact):
    def refusal(change):
        copy = tmp_path / change.__name__
        shutil.copytree(fixed_artifact, copy)
        change(copy)
        answer = run_dejavu("serve", "--sparsity-artifact", copy, "--port", 0, "--grpc-port", 0, timeout=30)
        assert answer.returncode == 2, answer.stderr
        assert str(copy) in answer.stderr
        return answer.stderr

    def another_model(copy):
        figures = json.loads((copy / "sparsity.json").read_text())
        figures["model_fingerprint"] = "0" * 64
        (copy / "sparsity.json").write_text(json.dumps(figures))

    def another_version(copy):
        figures = json.loads((copy / "sparsity.json").read_text())
        figures["version"] = 99
        (copy / "sparsity.json").write_text(json.dumps(figures))

    def truncated(copy):
        with open(copy / "predictors.safetensors", "r+b") as file:
            file.truncate(1000)

    assert "another model" in refusal(another_model)
    assert "version 99" in refusal(another_version)
    assert "predictors.safetensors" in refusal(truncated)
