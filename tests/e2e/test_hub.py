"""Models by name: from the hub's cache, or from a hub of ours that behaves and misbehaves."""

import json
import subprocess

import huggingface_hub
import pytest
from daemon import REPOSITORY, run_dejavu
from hub_server import COMMIT, Hub, git_blob, sha256

DEMO = REPOSITORY / "models" / "demo"
FILES = {path.name: path.read_bytes() for path in DEMO.iterdir() if path.suffix in (".json", ".safetensors")}
WEIGHTS = FILES["model.safetensors"]
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture
def hub():
    one = Hub(FILES | {"README.md": b"# not wanted", "pytorch_model.bin": b"neither", "onnx/model.json": b"nor this"})
    yield one
    one.close()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "hf"


def generate(hub, home, model="org/model", *args, token=""):
    env = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "", "HF_HUB_CACHE": ""}
    return run_dejavu("generate", model, "-p", "Once upon", "--max-tokens", 4, *args, env=env)


def repository(home):
    return home / "hub" / "models--org--model"


def test_a_model_is_fetched_checked_and_kept(hub, home):
    answer = generate(hub, home)
    assert answer.returncode == 0, answer.stderr
    assert hub.sent >= TOTAL
    assert (repository(home) / "refs" / "main").read_text() == COMMIT
    snapshot = repository(home) / "snapshots" / COMMIT
    assert {path.name for path in snapshot.iterdir()} == set(FILES)
    for name, content in FILES.items():
        digest = sha256(content) if name.endswith(".safetensors") else git_blob(content)
        assert (snapshot / name).is_symlink()
        assert (snapshot / name).resolve() == (repository(home) / "blobs" / digest).resolve()
        assert (snapshot / name).read_bytes() == content

    hub.requests.clear()
    again = generate(hub, home)
    assert again.returncode == 0
    assert hub.requests == [], "what is there needs no network"
    hub.close()
    assert generate(hub, home, "org/model", "--offline").returncode == 0


def test_the_hubs_own_client_finds_what_we_fetched(hub, home):
    assert generate(hub, home).returncode == 0
    found = huggingface_hub.snapshot_download("org/model", cache_dir=home / "hub", local_files_only=True)
    assert found == str(repository(home) / "snapshots" / COMMIT)


def test_what_the_hubs_own_client_fetched_is_found(hub, home):
    huggingface_hub.snapshot_download("org/model", cache_dir=home / "hub", endpoint=hub.url, token=False)
    hub.requests.clear()
    answer = generate(hub, home, "org/model", "--offline")
    assert answer.returncode == 0, answer.stderr
    assert hub.requests == []


@pytest.mark.parametrize("states_commit", [True, False])
def test_a_list_of_names_alone_is_completed_by_heads(hub, home, states_commit):
    hub.lists_names_only, hub.states_commit = True, states_commit
    answer = generate(hub, home)
    assert answer.returncode == 0, answer.stderr
    assert not any(path.startswith("/cdn/") for path in hub.heads), "the hub states it, not where it redirects"
    for name, content in FILES.items():
        digest = sha256(content) if name.endswith(".safetensors") else git_blob(content)
        assert (repository(home) / "blobs" / digest).read_bytes() == content
    found = huggingface_hub.snapshot_download("org/model", cache_dir=home / "hub", local_files_only=True)
    assert found == str(repository(home) / "snapshots" / COMMIT)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_heads_state_is_checked(hub, home, name):
    hub.lists_names_only = True
    hub.corrupt.add(name)
    answer = generate(hub, home)
    assert answer.returncode == 2
    assert name in answer.stderr
    assert not (repository(home) / "refs" / "main").exists()


@pytest.mark.parametrize(
    "answer", [b"<html>sign in</html>", b"[]", b'{"sha": "x", "siblings": [{"name": "config.json"}]}']
)
def test_a_list_that_is_none_is_asked_for_once(hub, home, answer):
    hub.list_answer = answer
    refused = generate(hub, home)
    assert refused.returncode == 2
    assert "not understood" in refused.stderr
    assert len(hub.requests) == 1


def test_the_host_header_names_a_port_only_where_it_is_not_the_schemes(home):
    try:
        hub = Hub(FILES, address=("127.0.0.2", 80))
    except OSError as error:
        pytest.skip(f"port 80: {error}")
    hub.elsewhere = "http://127.0.0.2:80"
    try:
        for hub.url in ("http://127.0.0.2", "http://127.0.0.2:80"):
            assert generate(hub, home / hub.url[-2:]).returncode == 0
        assert {headers["Host"] for _, headers in hub.requests} == {"127.0.0.2"}
    finally:
        hub.close()


def test_an_endpoint_with_an_ipv6_address(home):
    try:
        hub = Hub(FILES, address=("::1", 0))
    except OSError as error:
        pytest.skip(f"IPv6: {error}")
    hub.elsewhere = hub.url
    try:
        answer = generate(hub, home)
        assert answer.returncode == 0, answer.stderr
        assert {headers["Host"] for _, headers in hub.requests} == {f"[::1]:{hub.port}"}
    finally:
        hub.close()


def in_shards(content):
    """The same tensors in three files and their index."""
    size = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:size])
    header.pop("__metadata__", None)
    names, files, weight_map = sorted(header), {}, {}
    for part in range(3):
        name, data, entries = f"model-0000{part + 1}-of-00003.safetensors", b"", {}
        for tensor in names[part::3]:
            begin, end = header[tensor]["data_offsets"]
            entries[tensor] = {**header[tensor], "data_offsets": [len(data), len(data) + end - begin]}
            data += content[size + begin : size + end]
            weight_map[tensor] = name
        text = json.dumps(entries).encode()
        files[name] = len(text).to_bytes(8, "little") + text + data
    return files | {"model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode()}


SHARDED = {name: content for name, content in FILES.items() if name != "model.safetensors"} | in_shards(WEIGHTS)


@pytest.mark.parametrize("model", ["org/model", f"org/model@{COMMIT}"])
@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model-00002-of-00003.safetensors"])
def test_what_a_snapshot_lacks_is_fetched(home, model, lost):
    hub = Hub(SHARDED)
    try:
        assert generate(hub, home, model).returncode == 0
        path = repository(home) / "snapshots" / COMMIT / lost
        path.resolve().unlink()
        path.unlink()
        offline = generate(hub, home, model, "--offline")
        assert offline.returncode == 2
        assert f"lacks {lost};" in offline.stderr
        hub.sent = 0
        again = generate(hub, home, model)
        assert again.returncode == 0, again.stderr
        assert path.read_bytes() == SHARDED[lost]
        assert hub.sent < len(SHARDED[lost]) + 100_000, "what was there was fetched again"
    finally:
        hub.close()


def test_a_model_without_a_tokenizer_is_refused_before_its_weights_come(home):
    hub = Hub({name: content for name, content in FILES.items() if name != "tokenizer.json"})
    try:
        answer = generate(hub, home)
        assert answer.returncode == 2
        assert "tokenizer.json" in answer.stderr
        assert hub.sent < 10_000
    finally:
        hub.close()


def plan(hub, home, tmp_path, *args):
    out = tmp_path / "plan.json"
    env = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_TOKEN": "", "HF_HUB_OFFLINE": "", "TMPDIR": str(tmp_path)}
    answer = run_dejavu("plan", "org/model", *args, "--json", out, env=env)
    assert answer.returncode == 0, answer.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("files", [FILES, SHARDED], ids=["single", "shards"])
@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_plan_needs_the_headers_alone(home, tmp_path, files, ignores_ranges):
    hub = Hub(files)
    hub.ignores_ranges = ignores_ranges
    try:
        planned = plan(hub, home, tmp_path)
        whole = sum(len(content) for name, content in files.items() if name.endswith(".safetensors"))
        if not ignores_ranges:
            assert hub.sent < whole / 10
        assert not home.exists(), "a part of a model is not kept"
        assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
        assert planned["command"].startswith("dejavu serve org/model")
        assert generate(hub, home).returncode == 0
        hub.requests.clear()
        cached = plan(hub, home, tmp_path, "--offline")
        assert hub.requests == []
        assert cached["command"] == planned["command"]
        assert cached["parameters"] == planned["parameters"]
    finally:
        hub.close()


def test_a_broken_transfer_goes_on_where_it_broke(hub, home):
    hub.break_after, hub.breaks_left = len(WEIGHTS) // 4, 3
    answer = generate(hub, home)
    assert answer.returncode == 0, answer.stderr
    assert hub.breaks_left == 0
    assert hub.sent < TOTAL + 100_000, "bytes were sent twice"
    ranges = [headers["Range"] for path, headers in hub.requests if "Range" in headers]
    assert ranges


def test_many_breaks_are_outlived_as_long_as_something_comes(hub, home):
    hub.break_after, hub.breaks_left = len(WEIGHTS) // 16, 14
    answer = generate(hub, home)
    assert answer.returncode == 0, answer.stderr
    assert hub.breaks_left == 0


def test_a_later_start_goes_on_too(hub, home):
    blobs = repository(home) / "blobs"
    blobs.mkdir(parents=True)
    half = len(WEIGHTS) // 2
    (blobs / f"{sha256(WEIGHTS)}.incomplete").write_bytes(WEIGHTS[:half])
    assert generate(hub, home).returncode == 0
    assert hub.sent < TOTAL - half + 100_000


def test_a_server_without_ranges_sends_it_anew(hub, home):
    hub.break_after, hub.breaks_left, hub.ignores_ranges = len(WEIGHTS) // 4, 1, True
    answer = generate(hub, home)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_content_is_never_kept(hub, home, name):
    hub.corrupt.add(name)
    answer = generate(hub, home)
    assert answer.returncode == 2
    assert name in answer.stderr
    assert "another content" in answer.stderr
    digest = sha256(FILES[name]) if name.endswith(".safetensors") else git_blob(FILES[name])
    assert not list((repository(home) / "blobs").glob(f"{digest}*"))
    assert not (repository(home) / "refs" / "main").exists()
    hub.corrupt.clear()
    assert generate(hub, home).returncode == 0


def test_a_damaged_part_is_noticed_and_fetched_anew(hub, home):
    blobs = repository(home) / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(WEIGHTS)}.incomplete").write_bytes(bytes(1000))
    assert generate(hub, home).returncode == 0


def test_a_token_is_needed_and_stays_with_the_hub(hub, home):
    hub.token = "hf_secret"
    refused = generate(hub, home)
    assert refused.returncode == 2
    assert "HF_TOKEN" in refused.stderr
    assert generate(hub, home, token="hf_secret").returncode == 0
    elsewhere = [headers for path, headers in hub.requests if path.startswith("/cdn/")]
    assert elsewhere
    assert all("Authorization" not in headers for headers in elsewhere)


@pytest.mark.parametrize("name", ["v2", "refs/pr/1"])
def test_a_revision_by_name_and_by_commit(home, name):
    hub = Hub(FILES, revisions=(name,))
    assert generate(hub, home, f"org/model@{name}").returncode == 0
    assert (repository(home) / "refs" / name).read_text() == COMMIT
    hub.close()
    assert generate(hub, home, f"org/model@{COMMIT}", "--offline").returncode == 0
    assert generate(hub, home, "org/model", "--offline").returncode == 2


def test_offline_fetches_nothing(hub, home):
    answer = generate(hub, home, "org/model", "--offline")
    assert answer.returncode == 2
    assert "--offline" in answer.stderr
    assert hub.requests == []


def test_an_unknown_model_is_named(hub, home):
    answer = generate(hub, home, "org/nothing")
    assert answer.returncode == 2
    assert "org/nothing" in answer.stderr
    hub.token = "hf_secret"  # a hub that says 401 for what is not there
    answer = generate(hub, home, "org/nothing")
    assert answer.returncode == 2
    assert "HF_TOKEN" in answer.stderr
    assert "or there is no such model" in answer.stderr


def test_weights_in_another_format_are_not_fetched(home):
    hub = Hub({"config.json": FILES["config.json"], "pytorch_model.bin": b"x"})
    try:
        answer = generate(hub, home)
        assert answer.returncode == 2
        assert "no *.safetensors" in answer.stderr
        assert hub.sent < 10_000
    finally:
        hub.close()


def test_a_hub_that_is_away_is_named(hub, home):
    hub.close()
    answer = generate(hub, home)
    assert answer.returncode == 2
    assert "127.0.0.1" in answer.stderr


def test_https_is_verified(home, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )
    hub = Hub(FILES, certificate=(certificate, key))
    try:
        unknown = generate(hub, home)
        assert unknown.returncode == 2
        assert "certificate verify failed" in unknown.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        answer = generate(hub, home)
        assert answer.returncode == 0, answer.stderr
        hub.url = hub.url.replace("localhost", "127.0.0.1")  # which the certificate does not name
        assert generate(hub, home / "other").returncode == 2
    finally:
        hub.close()


def test_names_that_leave_the_folder_are_not_written(home, tmp_path):
    hub = Hub(FILES | {"../../escaped.json": b"{}", "/tmp/escaped-dejavu.json": b"{}"})
    try:
        assert generate(hub, home).returncode == 0
        assert not list(tmp_path.rglob("escaped*.json"))
    finally:
        hub.close()


def test_the_daemon_serves_it_under_its_name(hub, home, start_daemon):
    env = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url}
    daemon = start_daemon("org/model", env=env)
    assert daemon.get("/v1/models").json()["data"][0]["id"] == "org/model"
    assert "downloading org/model" in daemon.log
