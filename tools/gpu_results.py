#!/usr/bin/env python3
"""Puts what gpu_bench appended to $JSON, an object a line, into one file for bench/results.

    gpu_results.py LINES OUT COMMIT
"""

import json
import sys
from pathlib import Path


def main():
    lines, out, commit = sys.argv[1:]
    runs = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    result = {"commit": commit, "description": runs[0]["description"], "rounds": 15, "rows": [], "kernels": [], "timelines": []}
    for run in runs:
        for row in run.get("rows", []):
            result["rows"].append({**row, "read_gbps": run["read_gbps"]})
        result["kernels"] += run.get("kernels", [])
        result["timelines"] += [run["timeline"]] if "timeline" in run else []
    Path(out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
