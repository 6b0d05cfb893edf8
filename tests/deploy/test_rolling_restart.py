"""A rolling restart rehearsed: two daemons behind nginx with the shipped configuration, each told to
stop in its turn while 50 clients stream. No request fails."""

import json
import signal
import threading
import time
from functools import partial

import httpx
import pytest
from daemon import Daemon, wait_until
from manifests import REPOSITORY
from nginx import free_port, nginx

CLIENTS = 50
TOKENS = 24
OPTIONS = ("--kv-cache-memory", "256M", "--drain-timeout", "60")
# Time to look at a leaving daemon, beside 50 busy threads.
GRACE = ("--drain-grace", "4")


class Client(threading.Thread):
    """Streams one answer after the other until told to stop, every other one over a new connection."""

    def __init__(self, url, stop):
        super().__init__()
        self.url, self.stop = url, stop
        self.served, self.failures = 0, []

    def run(self):
        with httpx.Client(base_url=self.url, timeout=120) as kept:
            while not self.stop.is_set():
                try:
                    self.check(kept)
                    with httpx.Client(base_url=self.url, timeout=120) as fresh:
                        self.check(fresh)
                except Exception as error:  # whatever it is, it is a failed request
                    self.failures.append(repr(error))

    def check(self, client):
        body = {"prompt": "Once upon a time", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as answer:
            events = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        assert answer.status_code == 200, answer.status_code
        assert events[-1] == "[DONE]", events[-1]
        assert json.loads(events[-2])["timings"]["predicted_n"] == TOKENS
        self.served += 1


@pytest.fixture
def fleet():
    daemons = [Daemon(*OPTIONS, *GRACE).wait_ready() for _ in range(2)]
    yield daemons
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log


def shipped_configuration(daemons, port):
    text = (REPOSITORY / "deploy" / "nginx" / "dejavu.conf").read_text()
    here = {"listen 8080": f"listen 127.0.0.1:{port}"}
    here |= {f"127.0.0.1:800{i}": daemon.http_address for i, daemon in enumerate(daemons)}
    for shipped, ours in here.items():
        assert text.count(shipped) == 1
        text = text.replace(shipped, ours)
    return text


def restart(fleet, index):
    """As a supervisor would: SIGTERM, wait for the end, start anew on the same ports."""
    old = fleet[index]
    grpc_port = old.grpc_address.rsplit(":", 1)[1]
    old.send_signal(signal.SIGTERM)
    old.wait_for_line("leaving")
    assert old.get("/ready").status_code == 503
    assert old.post("/v1/completions", {"prompt": "a", "max_tokens": 1}).status_code == 200
    old.wait_for_line("stopping")
    assert old.wait() == 0, old.log
    fleet[index] = Daemon(*OPTIONS, *GRACE, "--port", old.port, "--grpc-port", grpc_port).wait_ready()
    return fleet[index]


def is_busy(daemon):
    return daemon.metric("dejavu_requests_running") > 0


def test_no_request_fails(fleet, tmp_path):
    port = free_port()
    stop = threading.Event()
    with nginx(tmp_path, shipped_configuration(fleet, port), port) as url:
        clients = [Client(url, stop) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            wait_until(lambda: all(client.served > 0 for client in clients))
            for index in range(len(fleet)):
                served = sum(client.served for client in clients)
                started = restart(fleet, index)
                wait_until(partial(is_busy, started))
                assert sum(client.served for client in clients) > served, "nobody was served meanwhile"
        finally:
            stop.set()
            for client in clients:
                client.join(120)
    failures = [failure for client in clients for failure in client.failures]
    assert failures == []


def test_after_the_grace_new_work_is_refused_and_connections_close():
    daemon = Daemon(*OPTIONS, "--drain-grace", "1").wait_ready()
    body = {"prompt": "Once", "n": 16, "max_tokens": 1000, "ignore_eos": True}
    long = threading.Thread(target=daemon.post, args=("/v1/completions", body))
    long.start()
    wait_until(partial(is_busy, daemon))
    begun = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    daemon.wait_for_line("stopping")
    assert time.monotonic() - begun >= 1
    refused = daemon.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["connection"] == "close"
    long.join()
    assert daemon.wait() == 0, daemon.log
