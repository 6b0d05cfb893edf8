#!/usr/bin/env python3
"""Compares a daemon's speed under two sets of options: both daemons run, `dejavu bench serve` asks one
and then the other, round by round, and the median of the rounds' ratios is printed (the standard
error is of that median). Everything after -- goes to `dejavu bench serve`.

    tools/compare_options.py models/demo --a="--audit-interval 64" --b="--audit-interval 0" \\
        --rounds 40 -- --num-prompts 4 --max-concurrency 1 --random-output-len 256
"""

import argparse
import json
import math
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BINARY = Path(__file__).parents[1] / "build/dejavu"
LOADING_S = 300


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    def __init__(self, model, options):
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rsplit(":", 1)[1]
        ports = ["--port", port, "--grpc-port", str(free_port())]
        command = [BINARY, "serve", model, *ports, "--no-enable-prefix-caching", *shlex.split(options)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_until_ready(self):
        end = time.monotonic() + LOADING_S
        while subprocess.run([BINARY, "health", "--url", self.url], capture_output=True).returncode != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit(f"the daemon at {self.url} does not come up")
            time.sleep(0.5)

    def throughput(self, options):
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            fixed = ["--url", self.url, "--ignore-eos", "--temperature", "0", "--seed", "1", "--json", result]
            subprocess.run([BINARY, "bench", "serve", *fixed, *options], check=True, capture_output=True)
            return json.loads(result.read_text())["output_throughput"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    own, bench = sys.argv[1:], []
    if "--" in own:
        own, bench = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--a", default="", help="options of one daemon")
    parser.add_argument("--b", default="", help="options of the other")
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args(own)
    daemons = [Daemon(args.model, options) for options in (args.a, args.b)]
    try:
        for daemon in daemons:
            daemon.wait_until_ready()
            daemon.throughput(bench)  # the first is slower
        rounds = []
        for index in range(args.rounds):
            order = (0, 1) if index % 2 == 0 else (1, 0)
            speeds = {which: daemons[which].throughput(bench) for which in order}
            rounds.append((speeds[0], speeds[1]))
    finally:
        for daemon in daemons:
            daemon.stop()
    ratios = [a / b for a, b in rounds]
    # Of a median: 1.25 times a mean's.
    error = 1.25 * statistics.stdev(ratios) / math.sqrt(len(ratios)) if len(ratios) > 1 else math.nan
    a, b = (statistics.median(speed) for speed in zip(*rounds, strict=True))
    print(
        f"{os.path.basename(args.model)}: {a:.1f} and {b:.1f} tokens/s; a/b {statistics.median(ratios):.4f}, "
        f"standard error {error:.4f}, {len(ratios)} rounds"
    )


if __name__ == "__main__":
    main()
