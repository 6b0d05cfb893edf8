#!/usr/bin/env python3
"""Writes docs/charts/timeline.svg: when each op of two layers ran, and on which stream, from the timelines (`gpu_bench
timeline`) of a result of tools/gpu_results.py.

    make_timeline.py RESULT [FILE]
"""

import json
import sys
from html import escape
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[1] / "docs" / "charts" / "timeline.svg"
WIDTH, LEFT, RIGHT = 1100, 64, 12
TOP, LANE, PANEL = 30, 34, 160
COLOURS = {"attention": "#1b8a5a", "gathered MLP": "#2a78d6", "predict": "#d9730d"}
GREY = "#8a94a0"
SHORT = {"predict neurons": "neurons", "predict heads": "heads", "output projection": "output", "attention": "attn"}
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#4a525c}.title{font-size:14px;font-weight:600}"
    ".op{fill:#fff;font-size:11px}.grid{stroke:#8a94a0;stroke-opacity:.28}"
    "@media(prefers-color-scheme:dark){text{fill:#b8c0ca}.op{fill:#fff}}"
)


def colour(name):
    return next((of for start, of in COLOURS.items() if name.startswith(start)), GREY)


def tick_step(length):
    return next(step for step in (5, 10, 20, 50, 100, 200, 500) if length / step <= 12)


def label(op):
    """What fits into the bar: the name, a short one, or nothing."""
    for text in (op["name"], SHORT.get(op["name"], "")):
        if op["width"] > 6.3 * len(text) + 4:
            return text
    return ""


def hidden(ops):
    """The share of the predictors' time during which the main stream ran something."""
    main = [(op["begin_us"], op["end_us"]) for op in ops if op["stream"] == "main"]
    side = [op for op in ops if op["stream"] == "side"]
    beside = sum(max(0, min(end, op["end_us"]) - max(begin, op["begin_us"])) for op in side for begin, end in main)
    return beside / sum(op["end_us"] - op["begin_us"] for op in side)


def panel(timeline, top):
    ops = timeline["ops"]
    length = max(op["end_us"] for op in ops)
    scale = (WIDTH - LEFT - RIGHT) / length
    what = (
        f"{timeline['shape'].upper()}, {timeline['batch']} sequence{'s' if timeline['batch'] > 1 else ''} of"
        f" {timeline['context']} tokens, {100 * timeline['mlp_density']:.0f} % of the neurons,"
        f" {100 * timeline['head_density']:.0f} % of the heads: layers {ops[0]['layer']} and {ops[-1]['layer']}"
    )
    note = f"{100 * hidden(ops):.0f} % of the predictors' time beside the main stream's work"
    lines = [
        f'<text class="title" x="{LEFT}" y="{top + 16}">{escape(what)}</text>',
        f'<text x="{LEFT}" y="{top + 34}">{escape(note)}</text>',
    ]
    bottom = top + 52 + 2 * LANE + 8
    for tick in range(0, int(length) + 1, tick_step(length)):
        x = LEFT + tick * scale
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{top + 46}" x2="{x:.1f}" y2="{bottom}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick}</text>')
    lines.append(f'<text x="{LEFT - 8}" y="{bottom + 15}" text-anchor="end">µs</text>')
    for lane, stream in enumerate(("main", "side")):
        y = top + 50 + lane * (LANE + 4)
        lines.append(f'<text x="{LEFT - 8}" y="{y + LANE / 2 + 4}" text-anchor="end">{stream}</text>')
        for op in ops:
            if op["stream"] != stream:
                continue
            x = LEFT + op["begin_us"] * scale
            op["width"] = width = max(1.0, (op["end_us"] - op["begin_us"]) * scale)
            told = f"layer {op['layer']}: {op['name']}, {op['end_us'] - op['begin_us']:.1f} µs"
            lines.append(
                f'<g><title>{escape(told)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LANE}" rx="2"'
                f' fill="{colour(op["name"])}"/>'
            )
            if text := label(op):
                lines.append(
                    f'<text class="op" x="{x + width / 2:.1f}" y="{y + LANE / 2 + 4}" text-anchor="middle">'
                    f"{escape(text)}</text>"
                )
            lines.append("</g>")
    return lines


def legend():
    lines, x = [], LEFT
    for name, fill in (
        ("attention", "attention"),
        ("gathered MLP", "gathered MLP"),
        ("predictors", "predict"),
        ("other ops", ""),
    ):
        lines.append(f'<rect x="{x}" y="4" width="12" height="12" rx="2" fill="{colour(fill)}"/>')
        lines.append(f'<text x="{x + 17}" y="14">{name}</text>')
        x += 32 + 7 * len(name)
    return lines


def draw(result):
    timelines = result["timelines"]
    height = TOP + PANEL * len(timelines) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>Predictors on the side stream, beside attention and MLP on the main one</title>",
        f"<style>{STYLE}</style>",
        *legend(),
    ]
    for place, timeline in enumerate(timelines):
        lines += panel(timeline, TOP + place * PANEL)
    source = (
        f"{result['description']}, FP16, commit {result['commit']}. Stamps of the device's clock between ops, in the step's CUDA"
        f" graph; it ticks every {max(t['tick_ns'] for t in timelines):.0f} ns."
    )
    lines += [f'<text x="{LEFT}" y="{height - 8}">{escape(source)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def main():
    result = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2] if len(sys.argv) > 2 else DEFAULT).write_text(draw(result))


if __name__ == "__main__":
    main()
