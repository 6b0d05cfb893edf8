"""Models by name: from the hub's cache, or from a hub of ours that behaves and misbehaves."""

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


def test_a_revision_by_name_and_by_commit(home):
    hub = Hub(FILES, revisions=("v2",))
    assert generate(hub, home, "org/model@v2").returncode == 0
    assert (repository(home) / "refs" / "v2").read_text() == COMMIT
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
