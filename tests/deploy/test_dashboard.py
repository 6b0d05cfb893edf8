"""Every query of the dashboard, and every rule, in a real Prometheus that scrapes a real daemon
under load with the configuration that we ship."""

import math
import re
import subprocess

import pytest
import yaml
from daemon import BINARY, clean_environment, wait_until
from manifests import REPOSITORY
from prometheus_server import DASHBOARD, PATIENCE_SECONDS, PROMETHEUS, running_prometheus, substituted

PANELS = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]


def put_load_on(daemon):
    """Two waves of requests with different prompts, at most 8 at a time."""
    for seed in ("1", "2"):
        done = subprocess.run(
            [BINARY, "bench", "serve", "--url", daemon.url, "--num-prompts", "24", "--max-concurrency", "8"]
            + ["--random-input-len", "48", "--random-output-len", "48", "--seed", seed],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
    answer = daemon.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4})
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def prometheus(daemon, tmp_path_factory):
    with running_prometheus(daemon, tmp_path_factory.mktemp("prometheus")) as server:
        put_load_on(daemon)
        # Its last request is a chat.
        wait_until(
            lambda: server.query('sum(dejavu_requests_total{api="chat",outcome=~"stop|length"}) >= 1'),
            PATIENCE_SECONDS,
        )
        # The last recording rule.
        wait_until(
            lambda: server.query("instance_block:dejavu_sparsity_audit_error:ratio_rate30m >= 0"), PATIENCE_SECONDS
        )
        yield server


@pytest.mark.parametrize("expression", QUERIES)
def test_a_panel_shows_data(prometheus, expression):
    result = prometheus.query(substituted(expression))
    assert result, "no series"
    values = [float(series["value"][1]) for series in result]
    assert any(math.isfinite(value) for value in values), values


def test_the_load_is_seen(prometheus):
    """The figures are those of what was asked, not just numbers."""
    result = prometheus.query('sum by (api) (dejavu_requests_total{outcome=~"stop|length"})')
    requests = {series["metric"]["api"]: float(series["value"][1]) for series in result}
    assert requests["completions"] >= 48
    assert requests["chat"] >= 1
    assert float(prometheus.query("max(dejavu_step_batch_size_count)")[0]["value"][1]) > 0


def test_every_rule_is_evaluated_and_no_alert_fires(prometheus):
    rules = prometheus.rules()
    shipped = yaml.safe_load((PROMETHEUS / "dejavu.rules.yml").read_text())
    assert len(rules) == sum(len(group["rules"]) for group in shipped["groups"])
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    assert not [rule["name"] for rule in rules if rule.get("state") == "firing"]


def test_every_metric_of_the_rules_is_one_of_the_daemon(daemon, prometheus):
    exposed = set(re.findall(r"^([a-z_]+)(?=[ {])", daemon.get("/metrics").text, re.M))
    for rule in prometheus.rules():
        used = set(re.findall(r"(?<![:a-z_])(?:dejavu|process)_[a-z_]+", rule["query"]))
        assert used <= exposed, rule["name"]


def test_the_autoscaler_asks_for_a_metric_of_the_daemon(daemon):
    autoscaler = (REPOSITORY / "deploy/k8s/base/horizontal-pod-autoscaler.yaml").read_text()
    names = re.findall(r"name: (dejavu_\w+)", autoscaler)
    assert names == ["dejavu_requests_waiting"]
    assert daemon.metric(names[0]) >= 0


def test_variables_find_their_values(prometheus):
    queries = {one["name"]: one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"}
    assert queries.keys() == {"job", "instance"}
    for name, query in queries.items():
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query["query"]).groups()
        assert label == name
        assert all(series["metric"][label] for series in prometheus.query(substituted(metric)))


def test_the_panels_lie_beside_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
