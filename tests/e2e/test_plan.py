"""`dejavu plan` against what a daemon then says of itself."""

import json
import re
import shlex

import pytest
from daemon import REPOSITORY, run_dejavu

DEMO = REPOSITORY / "models" / "demo"
GOLDEN = REPOSITORY / "tests" / "model" / "golden"


def plan(tmp_path, *args, code=0):
    out = tmp_path / "plan.json"
    answer = run_dejavu("plan", *args, "--json", out)
    assert answer.returncode == code, answer.stderr
    return answer.stdout, json.loads(out.read_text())


def test_the_daemon_is_as_planned(tmp_path, start_daemon):
    text, planned = plan(tmp_path, DEMO, "--kv-cache-memory", "64M")
    assert "fits      yes" in text
    daemon = start_daemon(*shlex.split(planned["command"])[2:])
    log = daemon.log
    weights = re.search(r"([\d.]+) MiB of weights", log).group(1)
    assert planned["weight_bytes"] / 2**20 == pytest.approx(float(weights), rel=0.01)
    assert int(re.search(r"kv_cache +(\d+) tokens", log).group(1)) == planned["kv_tokens"]


def test_speeds_follow_from_bytes_and_bandwidth(tmp_path):
    _, planned = plan(tmp_path)
    assert planned["read_gbps"] > 0.1
    assert [speed["mode"] for speed in planned["speeds"]] == ["dense", "exact", "threshold", "lookahead"]
    for speed in planned["speeds"]:
        expected = planned["read_gbps"] * 1e9 / speed["bytes_per_token"]
        assert speed["tokens_per_second"] == pytest.approx(expected)
        assert speed["tokens_per_second_at_full_context"] < expected


def test_an_artifact_is_used(tmp_path, fixed_artifact):
    _, planned = plan(tmp_path, "--sparsity-artifact", fixed_artifact)
    ahead = planned["speeds"][-1]
    assert ahead["mode"] == "lookahead"
    assert "artifact" in ahead["basis"]
    assert ahead["mlp_density"] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("of_full_length", [True, False])
def test_config_and_header_are_enough(tmp_path, of_full_length):
    """The weights' bytes are never read: they need not be there."""
    source = GOLDEN / "llama"
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    whole = (source / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.write(whole[:header])
        if of_full_length:
            file.truncate(len(whole))
    _, planned = plan(tmp_path, tmp_path)
    assert planned["fits"]
    assert [speed["mode"] for speed in planned["speeds"]] == ["dense"]  # SiLU


def test_what_does_not_fit_exits_with_1(tmp_path):
    text, planned = plan(tmp_path, "--shape", "opt-175b", "--dtype", "float16", code=1)
    assert "fits      no" in text
    assert not planned["fits"]
    answer = run_dejavu("plan", tmp_path / "nothing")
    assert answer.returncode == 2
