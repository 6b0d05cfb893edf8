#!/usr/bin/env python3
"""Writes the tables of docs/benchmarks.md that stand between `<!-- tables of FILE -->` and `<!-- end of tables -->`
from that FILE, a result of tools/gpu_results.py.

    gpu_tables.py [FILE]      FILE: take this result from now on
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/benchmarks.md"
MODES = {"inline": "lookahead, predictors in line", "known": "sets known", "cublas": "cuBLASLt, no attention"}

# What is wanted of a step, in ms or as times dense: by shape, mode, batch and percent of neurons and of heads.
WANTED_STEPS = {
    ("opt-30b", "dense", 1, 100, 100): "23 ms",
    ("opt-30b", "lookahead", 1, 20, 50): "10.5 ms",
    ("opt-30b", "lookahead", 1, 10, 30): "8.0 ms",
    ("opt-6.7b", "dense", 1, 100, 100): "5.6 ms",
    ("opt-6.7b", "lookahead", 1, 10, 30): "2.2 ms",
    ("opt-6.7b", "dense", 32, 100, 100): "12.5 ms",
    ("opt-6.7b", "lookahead", 32, 52, 50): "1.35 x",
    ("llama-2-7b", "dense", 1, 100, 100): "5.4 ms",
    ("llama-2-7b", "lookahead", 1, 11, 100): "1.9 x",
}
WANTED_US = {
    ("sparse_mlp 0.10", "d 7168 ffn 28672 tokens 1"): 36,
    ("sparse_mlp 0.20", "d 7168 ffn 28672 tokens 1"): 63,
    ("sparse_mlp 0.30", "d 7168 ffn 28672 tokens 16"): 105,
}
WANTED_SHARES = {("opt-6.7b", 1, 10, 30): 12}


def percent(share):
    return round(100 * share)


def table(*rows):
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *body, ""]


def judged(wanted, met):
    return f"{wanted}: {'met' if met else 'missed'}"


def key(row):
    densities = percent(row["union_density"]), percent(row["head_density"])
    return row["shape"], row["mode"], row["batch"], *densities


def wanted_step(row):
    wanted = WANTED_STEPS.get(key(row))
    if wanted is None:
        return ""
    bar, unit = wanted.split()
    return judged(wanted, row["step_ms"] <= float(bar) if unit == "ms" else row["speedup"] >= float(bar))


def steps(result):
    """Each once, although several runs have their own dense steps."""
    once = {}
    for row in result["rows"]:
        once.setdefault((*key(row), row["context"]), row)
    return list(once.values())


def step_table(result):
    rows = [("shape", "batch, context", "mode", "neurons", "heads", "step", "over dense", "of the peak", "wanted")]
    for row in steps(result):
        neurons, heads = (f"{share} %" if share < 100 else "all" for share in key(row)[3:])
        rows.append(
            (
                row["shape"].upper().replace("LLAMA", "Llama"),
                f"{row['batch']}, {row['context']}" if row["context"] else str(row["batch"]),
                MODES.get(row["mode"], row["mode"]),
                neurons,
                heads,
                f"{row['step_ms']:.2f} ms",
                f"{row['speedup']:.2f} x",
                f"{100 * row['bandwidth_fraction']:.0f} %",
                wanted_step(row),
            )
        )
    return table(*rows)


def predictor_table(result):
    rows = [("predictors of", "batch", "neurons", "heads", "take", "hidden", "add to the step", "wanted")]
    known = {key(row): row["step_ms"] for row in result["rows"]}
    for row in result["rows"]:
        shape, mode, batch, neurons, heads = key(row)
        without = known.get((shape, "known", batch, neurons, heads))
        if mode != "lookahead" or without is None:
            continue
        timed = "predictor_ms" in row
        share = 100 * (row["step_ms"] - without) / without
        bar = WANTED_SHARES.get((shape, batch, neurons, heads))
        rows.append(
            (
                shape.upper().replace("LLAMA", "Llama"),
                str(batch),
                f"{neurons} %",
                f"{heads} %" if heads < 100 else "all",
                f"{row['predictor_ms']:.2f} ms" if timed else "",
                f"{100 * row['overlap']:.0f} %" if timed else "",
                f"{share:.1f} %",
                judged(f"{bar} %", share <= bar) if bar else "",
            )
        )
    return table(*rows)


def kernel_table(result):
    rows = [("kernel", "shape", "time", "GB/s", "of the peak", "wanted")]
    for kernel in result["kernels"]:
        if not kernel["shape"].startswith("d 7168"):
            continue  # OPT-30B's; the others stay in the file
        bar = WANTED_US.get((kernel["name"], kernel["shape"]))
        rows.append(
            (
                kernel["name"],
                kernel["shape"],
                f"{kernel['us']:.1f} us",
                f"{kernel['gbps']:.0f}",
                f"{100 * kernel['fraction_of_peak']:.0f} %",
                judged(f"{bar} us", kernel["us"] <= bar) if bar else "",
            )
        )
    return table(*rows)


def main():
    text = DOCUMENT.read_text()
    section = re.compile(r"<!-- tables of (\S+) -->\n.*?<!-- end of tables -->", re.S)
    file = sys.argv[1] if len(sys.argv) > 1 else section.search(text).group(1)
    result = json.loads((ROOT / file).read_text())
    lines = [
        f"<!-- tables of {file} -->",
        f"{result['description']}, commit {result['commit']}, `{file}`:",
        "",
        *step_table(result),
        *predictor_table(result),
        *kernel_table(result),
        "<!-- end of tables -->",
    ]
    DOCUMENT.write_text(section.sub(lambda _: "\n".join(lines), text))


if __name__ == "__main__":
    main()
