#!/usr/bin/env python3
"""Writes docs/charts/speed-quality.svg, the README's chart, from the tables of docs/benchmarks.md and docs/quality.md.

tools/make_speed_chart.py [FILE]
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
DEFAULT = DOCS / "charts" / "speed-quality.svg"
WIDTH, HEIGHT = 800, 330
BLUE, ORANGE, GREY = "#2a78d6", "#d9730d", "#8a94a0"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#4a525c}.title{font-size:14px;font-weight:600}"
    ".grid{stroke:#8a94a0;stroke-opacity:.28}.axis{stroke:#8a94a0}"
    "@media(prefers-color-scheme:dark){text{fill:#b8c0ca}}"
)


def rows(document, heading):
    """The cells of every table row under a heading of a document."""
    text = (DOCS / document).read_text()
    start = text.index(f"## {heading}")
    section = text[start : text.find("\n## ", start + 1)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*$", section, re.M)]


def number(cell):
    return float(re.search(r"[\d.]+", cell).group())


def only(found):
    found = list(found)
    assert len(found) == 1, f"{len(found)} rows instead of one: {found}"
    return found[0]


def cpu_bars():
    """[(label, times as fast as dense, colour)]."""
    table = rows("benchmarks.md", "Sparse decoding, OPT-1.3B shape, BF16, batch 1")

    def times(mode):
        return number(only(row for row in table if row[0].split(",")[0] == mode)[4])

    return [
        ("dense", 1, GREY),
        ("exact, 10 % of neurons", times("exact"), BLUE),
        ("lookahead, 10 %, half the heads", times("lookahead"), ORANGE),
    ]


def gpu_bars():
    table = [row for row in rows("benchmarks.md", "One H100 80 GB, FP16") if row[0] == "OPT-30B"]
    dense = number(only(row for row in table if row[2] == "dense")[5])

    def lookahead(share):
        return dense / number(only(row for row in table if row[2:4] == ["lookahead", share])[5])

    return [
        ("dense", 1, GREY),
        ("lookahead, 20 %, half the heads", lookahead("20 %"), ORANGE),
        ("lookahead, 10 %, 30 % of heads", lookahead("10 %"), ORANGE),
    ]


def quality():
    """[(level, rise of perplexity in %, neurons in %)] of lookahead on the demo model."""
    table = [row for row in rows("quality.md", "The demo model") if len(row) == 10 and row[0] == "lookahead"]
    both = [row for row in table if number(row[8]) < 100]  # neurons and heads
    return [(row[1], number(row[3]), number(row[7])) for row in both]


def text(x, y, words, anchor="start", kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{words}</text>'


def bars(top, title, members):
    """Horizontal bars from x = 224, 66 units for each time dense."""
    out = [text(16, top, title)]
    for i, (label, times, colour) in enumerate(members):
        y = top + 10 + 26 * i
        length = 66 * times
        out.append(text(216, y + 14, label, "end"))
        out.append(f'<rect x="224" y="{y}" width="{length:.1f}" height="19" rx="2" fill="{colour}"/>')
        out.append(text(230 + length, y + 14, f"{times:.2f} ×"))
    return out


def scatter():
    """Rise of perplexity over the share of neurons read."""
    left, right, top, bottom = 520, 780, 62, 262
    low, high, most = 18, 36, 8

    def place(neurons, rise):
        return left + (neurons - low) / (high - low) * (right - left), bottom - rise / most * (bottom - top)

    out = []
    for rise in range(0, most + 1, 2):
        _, y = place(low, rise)
        out.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        out.append(text(left - 8, y + 4, f"+{rise} %", "end"))
    for neurons in (20, 25, 30, 35):
        x, _ = place(neurons, 0)
        out.append(f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}"/>')
        out.append(text(x, bottom + 20, f"{neurons} %", "middle"))
    out.append(f'<line class="axis" x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    out.append(text((left + right) / 2, bottom + 42, "of the neurons read", "middle"))
    points = [(level, *place(neurons, rise)) for level, rise, neurons in quality()]
    line = "L".join(f"{x:.1f} {y:.1f}" for _, x, y in points)
    out.append(f'<path d="M{line}" fill="none" stroke="{ORANGE}" stroke-width="2" stroke-linejoin="round"/>')
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ORANGE}"/>' for _, x, y in points]
    default = re.search(r"The default level is ([\d.]+):", (DOCS / "quality.md").read_text()).group(1)
    x, y = only((x, y) for level, x, y in points if level == default)
    out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="{ORANGE}" stroke-width="2"/>')
    out.append(text(x + 8, y - 14, "default"))
    return out


def chart():
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'aria-label="Speed of sparse decoding, and what lookahead costs in quality">',
            f"<style>{STYLE}</style>",
            text(16, 24, "Speed of decoding, batch 1, dense = 1", kind="title"),
            *bars(52, "OPT-1.3B shape, two CPUs, BF16", cpu_bars()),
            *bars(170, "OPT-30B shape, one H100, FP16", gpu_bars()),
            text(16, 308, "Random weights, sets drawn at random, predictors included."),
            text(480, 24, "What it costs: perplexity, demo model", kind="title"),
            text(480, 44, "lookahead against dense, on held-out text"),
            *scatter(),
            "</svg>\n",
        ]
    )


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    file.write_text(chart())


if __name__ == "__main__":
    main()
