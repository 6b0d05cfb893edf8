"""Writes docs/screenshots/dashboard.png: the dashboard's panels with the data of a real Prometheus that scrapes a daemon
under load. Grafana is in no Debian package, so this draws them: same queries, places, units and legends, not its looks.

.venv/bin/python tools/draw_dashboard.py [dejavu serve options]
"""

import html
import math
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path += [str(REPOSITORY / "tests" / "e2e"), str(REPOSITORY / "tests" / "deploy")]

from browser import chromium  # noqa: E402
from daemon import Daemon  # noqa: E402
from prometheus_server import DASHBOARD, running_prometheus, substituted  # noqa: E402

OUT = REPOSITORY / "docs" / "screenshots" / "dashboard.png"
CELL_WIDTH, CELL_HEIGHT = 60, 26
SECONDS, STEP = 150, 2
SECONDS_OF_LOAD = 25  # for each concurrency
CONCURRENCIES = (1, 4, 16, 32, 8)
PROMPTS = (
    "Once upon a time",
    "The old clockmaker",
    "One day, a little fox",
    "There was a garden where",
    "In the deep sea",
)
COLOURS = ("#3274d9", "#e0752d", "#37872d", "#8f3bb8", "#c4162a", "#0a7b83", "#b58900", "#7c5e43")
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
STYLE = """
body{margin:0;background:#f4f5f5;font:11px system-ui,sans-serif;color:#24292e;position:relative}
section{position:absolute;background:#fff;border:1px solid #dcdfe3;border-radius:3px;box-sizing:border-box;overflow:hidden}
h2{font-size:12px;font-weight:600;margin:5px 8px 0}.row{background:none;border:none}.row h2{font-size:14px}
.value{font-size:30px;text-align:center;margin-top:14px}.legend{margin:0 8px;height:14px;overflow:hidden;color:#5a6068}
svg{display:block}text{font:10px system-ui,sans-serif;fill:#5a6068}td{padding:3px 8px}
"""


def shown(value, unit):
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def legend(target, labels):
    text = target["legendFormat"]
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def series(server, panel):
    """[(legend, [(time, value)])] of all of a panel's queries."""
    return [
        (legend(target, labels), [(at, value) for at, value in points if math.isfinite(value)])
        for target in panel["targets"]
        for labels, points in server.query_range(substituted(target["expr"]), SECONDS, STEP)
    ]


def stat(server, panel, _size):
    points = series(server, panel)[0][1]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    return f'<p class="value">{shown(points[-1][1], unit) if points else "–"}</p>'


def table(server, panel, _size):
    labels = server.query(substituted(panel["targets"][0]["expr"]))[0]["metric"]
    kept = {name: value for name, value in labels.items() if name not in ("__name__", "job")}
    return "<table>" + "".join(f"<tr><td>{k}</td><td>{html.escape(v)}</td></tr>" for k, v in kept.items()) + "</table>"


class Frame:
    """A drawing's axes: time to the right, now at the end."""

    def __init__(self, size, low, high):
        self.width, self.height = size
        self.left, self.right, self.top, self.bottom = 56, self.width - 10, 6, self.height - 16
        self.low, self.high = low, high

    def x(self, ago):
        return self.right - ago / SECONDS * (self.right - self.left)

    def y(self, value):
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)

    def svg(self, parts):
        for ago in range(0, SECONDS + 1, 30):
            label = f"-{ago} s" if ago else "now"
            parts.append(f'<text x="{self.x(ago):.0f}" y="{self.height - 4}" text-anchor="middle">{label}</text>')
        return f'<svg width="{self.width}" height="{self.height}">{"".join(parts)}</svg>'


def time_series(server, panel, size):
    lines = series(server, panel)
    defaults = panel["fieldConfig"]["defaults"]
    now = max((points[-1][0] for _, points in lines if points), default=0)
    most = max((value for _, points in lines for _, value in points), default=0)
    frame = Frame((size[0], size[1] - 14), 0, defaults.get("max", 1.15 * most) or 1)
    parts = []
    for i in range(5):
        value = frame.high * i / 4
        parts.append(f'<path d="M{frame.left} {frame.y(value):.1f}H{frame.right}" stroke="#e4e7eb"/>')
        label = shown(value, defaults["unit"])
        parts.append(f'<text x="{frame.left - 6}" y="{frame.y(value) + 3:.1f}" text-anchor="end">{label}</text>')
    names = []
    for i, (name, points) in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        path = "L".join(f"{frame.x(now - at):.1f} {frame.y(value):.1f}" for at, value in points)
        if path:
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        names.append(f'<span style="color:{colour}">▬</span> {html.escape(name)}')
    return frame.svg(parts) + f'<p class="legend">{" &nbsp; ".join(names)}</p>'


def ramp(share):
    at = min(max(share, 0), 1) * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    mixed = (a + (b - a) * (at - low) for a, b in zip(VIRIDIS[low], VIRIDIS[low + 1], strict=True))
    return "rgb(" + ",".join(f"{c:.0f}" for c in mixed) + ")"


def bucket_rows(rows):
    """Counts of each bucket from cumulative ones, without the empty ends."""
    rows = sorted(rows, key=lambda row: float(row[0]))
    out, below = [], {}
    for name, points in rows:
        out.append((name, [(at, value - below.get(at, 0)) for at, value in points]))
        below = dict(points)
    busy = [i for i, (_, points) in enumerate(out) if any(value > 0 for _, value in points)]
    return out[busy[0] : busy[-1] + 1] if busy else out


def heat_map(server, panel, size):
    rows = series(server, panel)
    buckets = panel["targets"][0].get("format") == "heatmap"
    rows = bucket_rows(rows) if buckets else sorted(rows)
    now = max((points[-1][0] for _, points in rows if points), default=0)
    full = max((value for _, points in rows for _, value in points), default=1) if buckets else 1
    frame = Frame(size, 0, len(rows))
    cell = (frame.right - frame.left) * STEP / SECONDS
    parts = []
    for i, (name, points) in enumerate(rows):
        top = frame.y(i + 1)
        height = frame.y(i) - top
        label = shown(float(name), "s") if buckets else name
        parts.append(f'<text x="{frame.left - 6}" y="{top + height / 2 + 3:.1f}" text-anchor="end">{label}</text>')
        for at, value in points:
            if buckets and value <= 0:
                continue
            place = f'x="{frame.x(now - at) - cell:.1f}" y="{top:.1f}" width="{cell + 0.3:.1f}" height="{height:.1f}"'
            parts.append(f'<rect {place} fill="{ramp(value / (full or 1))}"/>')
    return frame.svg(parts)


DRAWN = {"stat": stat, "table": table, "timeseries": time_series, "heatmap": heat_map}


def section(server, panel):
    at = panel["gridPos"]
    place = (at["x"] * CELL_WIDTH, at["y"] * CELL_HEIGHT, at["w"] * CELL_WIDTH - 6, at["h"] * CELL_HEIGHT - 6)
    x, y, width, height = place
    style = f"left:{x}px;top:{y}px;width:{width}px;height:{height}px"
    title = f"<h2>{html.escape(panel['title'])}</h2>"
    if panel["type"] == "row":
        return f'<section class="row" style="{style}">{title}</section>'
    return f'<section style="{style}">{title}{DRAWN[panel["type"]](server, panel, (width - 2, height - 26))}</section>'


def put_load_on(daemon):
    for concurrency in CONCURRENCIES:
        end = time.monotonic() + SECONDS_OF_LOAD
        clients = [threading.Thread(target=ask_until, args=(daemon, end, i)) for i in range(concurrency)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()


def ask_until(daemon, end, number):
    turn = number
    while time.monotonic() < end:
        prompt = PROMPTS[turn % len(PROMPTS)]
        body = {"max_tokens": 40 + 30 * (turn % 7), "temperature": 1}
        if turn % 3:
            daemon.post("/v1/completions", {**body, "prompt": prompt})
        else:
            message = {"role": "user", "content": f"Write a story. {prompt}"}
            daemon.post("/v1/chat/completions", {**body, "messages": [message]})
        turn += 1


def main():
    daemon = Daemon("--kv-cache-memory", "256M", "--audit-interval", "4", *sys.argv[1:]).wait_ready()
    try:
        with tempfile.TemporaryDirectory() as folder, running_prometheus(daemon, Path(folder)) as server:
            put_load_on(daemon)
            page = "".join(section(server, panel) for panel in DASHBOARD["panels"])
            height = CELL_HEIGHT * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in DASHBOARD["panels"])
            file = Path(folder) / "dashboard.html"
            file.write_text(f'<meta charset="utf-8"><style>{STYLE}body{{height:{height}px}}</style>{page}')
            with chromium(24 * CELL_WIDTH, height) as browser:
                browser.driver.get(file.as_uri())
                browser.save(OUT)
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
