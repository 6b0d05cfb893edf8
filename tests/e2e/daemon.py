"""build/dejavu, or what DEJAVU_BINARY names, as a process of a test."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("DEJAVU_BINARY", REPOSITORY / "build" / "dejavu"))
START_SECONDS = 120


def clean_environment(extra=None):
    """Ours without any DEJAVU_* variable, so that a test says everything that holds."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DEJAVU_")}
    return {**kept, **(extra or {})}


def run_dejavu(*args, env=None, **options):
    """Runs a command to its end."""
    options.setdefault("timeout", START_SECONDS)
    return subprocess.run(
        [BINARY, *map(str, args)],
        env=clean_environment(env),
        capture_output=True,
        text=True,
        **options,
    )


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


class Daemon:
    """`dejavu serve` on free ports. Its log is gathered while it runs."""

    def __init__(self, *args, env=None):
        ports = ["--port", "0", "--grpc-port", "0"]
        self.process = subprocess.Popen(
            [BINARY, "serve", *ports, *map(str, args)],
            env=clean_environment(env),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = self.wait_for_line(r"listening on http://(\S+) and grpc://(\S+?);?\s")
        self.http_address, self.grpc_address = found.groups()
        self.url = f"http://{self.http_address}"
        self.http = httpx.Client(base_url=self.url, timeout=START_SECONDS)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def log(self):
        return "".join(self.lines)

    def wait_for_line(self, pattern, seconds=START_SECONDS):
        """The match of the first log line that matches; fails when the daemon ends before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(5)
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            assert not ended, f"the daemon ended with {self.process.returncode}:\n{self.log}"
            time.sleep(0.02)
        raise AssertionError(f"no line like {pattern!r} after {seconds} s:\n{self.log}")

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while self.http.get("/ready").status_code != 200:
            assert self.process.poll() is None, f"the daemon ended:\n{self.log}"
            assert time.monotonic() < deadline, f"not ready after {START_SECONDS} s:\n{self.log}"
            time.sleep(0.05)
        return self

    def get(self, path, **options):
        return self.http.get(path, **options)

    def post(self, path, body, **options):
        return self.http.post(path, json=body, **options)

    def metric(self, name):
        """The value of a metric without labels."""
        found = re.search(rf"^{name} (\S+)$", self.get("/metrics").text, re.M)
        assert found, f"no metric {name}"
        return float(found.group(1))

    @property
    def port(self):
        return int(self.http_address.rsplit(":", 1)[1])

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=60):
        """The exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.send_signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.process.kill()
            self.http.close()
