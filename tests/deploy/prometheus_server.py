"""A real Prometheus with the configuration that we ship, scraping a daemon of a test."""

import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import httpx
import yaml
from daemon import wait_until
from manifests import REPOSITORY
from nginx import free_port

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "dashboards" / "dejavu.json").read_text())
WINDOW = "30s"
# Longer than it takes in practice; met, not slept through.
PATIENCE_SECONDS = 180


def shipped_configuration(folder, target):
    """A copy of what we ship, faster and with the test's target."""
    for name in ("prometheus.yml", "dejavu.rules.yml"):
        shutil.copy(PROMETHEUS / name, folder)
    file = folder / "prometheus.yml"
    text = file.read_text()
    assert text.count("_interval: 15s") == 2
    file.write_text(text.replace("_interval: 15s", "_interval: 1s"))
    targets = yaml.safe_load((PROMETHEUS / "targets.yml").read_text())
    targets[0]["targets"] = [target]
    (folder / "targets.yml").write_text(yaml.safe_dump(targets))
    return file


class PrometheusServer:
    def __init__(self, address):
        self.http = httpx.Client(base_url=f"http://{address}", timeout=30)

    def answers(self):
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.ConnectError:
            return False

    def query(self, expression):
        answer = self.http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def query_range(self, expression, seconds, step):
        """Until now: [(labels, [(time, value)])]."""
        end = time.time()
        params = {"query": expression, "start": end - seconds, "end": end, "step": step}
        answer = self.http.get("/api/v1/query_range", params=params).json()
        assert answer["status"] == "success", answer
        return [
            (one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in answer["data"]["result"]
        ]

    def rules(self):
        groups = self.http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def running_prometheus(daemon, folder):
    """A PrometheusServer that has scraped the daemon."""
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={shipped_configuration(folder, daemon.http_address)}"]
            + [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"],
            stderr=log,
        )
        server = PrometheusServer(address)
        try:
            wait_until(server.answers, PATIENCE_SECONDS)
            wait_until(lambda: server.query('up{job="dejavu"} == 1'), PATIENCE_SECONDS)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def substituted(expression):
    """As Grafana would send it."""
    values = {"$job": "dejavu", "$instance": ".*", "$__rate_interval": WINDOW}
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert not re.search(r"\$(?!\d)", expression), expression  # $1 is label_replace's
    return expression
