#!/usr/bin/env python3
"""Holds results of `dejavu eval --json` against a reference's, row by row: how much each sparse mode raises the perplexity
over the same device's own dense, and which shares of neurons and heads it keeps. Ends with an error when a row is further
from the reference's than is allowed.

    compare_eval.py REFERENCE.json OTHER.json...
"""

import argparse
import json
from pathlib import Path

RISE = 0.1  # percentage points
DENSITY = 0.5  # percentage points


def read(path):
    """(mode, target): rise, neurons, heads, in percent."""
    rows = json.loads(path.read_text())["rows"]
    dense = next(row["perplexity"] for row in rows if row["mode"] == "dense")
    return {
        (row["mode"], row["target_recall"]): (
            100 * (row["perplexity"] / dense - 1),
            100 * row["mlp_density"],
            100 * row["head_density"],
        )
        for row in rows
        if row["mode"] != "dense"
    }


def compare(name, reference, other):
    """Prints a line a row; True when all are near enough."""
    print(f"{name:<20} {'target':>6}  {'rise':>16}  {'neurons':>15}  {'heads':>15}")
    good = True
    for key, wanted in reference.items():
        mode, target = key
        found = other.get(key)
        if found is None:
            print(f"{mode:<20} {target or '':>6}  missing")
            good = False
            continue
        limits = (RISE, DENSITY, DENSITY)
        near = all(abs(a - b) <= limit for a, b, limit in zip(found, wanted, limits, strict=True))
        good &= near
        rise, neurons, heads = (f"{a:.{n}f} ({a - b:+.{n}f})" for a, b, n in zip(found, wanted, (3, 2, 2), strict=True))
        print(f"{mode:<20} {target or '':>6}  {rise:>16}  {neurons:>15}  {heads:>15}  {'met' if near else 'MISSED'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    args = parser.parse_args()
    reference = read(args.reference)
    print(
        f"percent; in brackets the difference from {args.reference.name}: {RISE} of the rise is allowed, {DENSITY} of densities"
    )
    good = [compare(other.name, reference, read(other)) for other in args.others]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
