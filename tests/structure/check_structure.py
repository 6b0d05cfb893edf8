#!/usr/bin/env python3
"""Checks the walls of the house: who may include whom (docs/architecture.md), and house rules that
a program can see. Prints each breach as FILE:LINE and ends with 1 when there is one.

    check_structure.py [ROOT]
"""

import re
import sys
from pathlib import Path

CODE = {".h", ".cpp", ".cu", ".cuh"}
SKIPPED = {".git", ".venv"}
MAX_LINES = 400

# Folder → prefixes of the project headers its files may name. The longest folder that matches
# holds. A folder may always name its own headers.
OPTIONS_HEADERS = [
    "bench/options.h",
    "engine/options.h",
    "engine/backend/options.h",
    "server/options.h",
    "server/admin/options.h",
    "server/cli/options.h",
    "server/grpc/options.h",
    "server/http/options.h",
    "server/load/options.h",
    "sparsity/calibration/options.h",
    "sparsity/evaluation/options.h",
    "sparsity/options.h",
]
ALLOWED = {
    "engine/core": [],
    "engine/text": ["engine/core/"],
    "engine/sample": ["engine/core/"],
    "engine/backend": ["engine/core/", "engine/sample/"],
    "engine/kv": ["engine/core/", "engine/backend/"],
    "engine/model": ["engine/core/", "engine/backend/", "engine/kv/"],
    "engine/schedule": [
        "engine/core/",
        "engine/kv/page_table.h",
        "engine/kv/block_pool.h",
        "engine/kv/prefix_index.h",
        "engine/model/sparsity_choice.h",
        "engine/model/step_batch.h",
        "engine/request.h",
        "engine/sample/",
        "engine/token_stream.h",
    ],
    "engine": ["engine/"],
    "sparsity": ["engine/"],
    "config": ["engine/core/", *OPTIONS_HEADERS],
    "server/admin": ["engine/core/", "engine/engine.h", "sparsity/control.h"],
    "server/http": ["engine/", "server/", "sparsity/control.h"],
    "server/grpc": ["engine/", "server/", "sparsity/control.h", "proto/", "dejavu/"],
    "server/load": ["engine/core/"],
    "server/hub": ["engine/core/"],
    "server/page": ["engine/core/"],
    "server/plan": ["engine/", "sparsity/", "server/load_progress.h"],
    "server": ["engine/", "config/", "server/", "bench/", "sparsity/"],
    "bench": ["engine/", "sparsity/", "bench/"],
    "tests": ["engine/", "sparsity/", "config/", "server/", "proto/", "dejavu/", "tests/", "bench/"],
}
# Folder → prefixes it must not name, although a prefix above allows them.
FORBIDDEN = {
    "engine": ["server/", "config/", "sparsity/", "tests/"],
    "server/http": ["server/grpc/", "server/cli/", "config/"],
    "server/grpc": ["server/http/", "server/cli/", "config/"],
}
# Folder → prefixes that must not be reached through any chain of includes.
UNREACHABLE = {
    "engine/schedule": ["engine/backend/"],
    "config": ["engine/engine.h", "engine/model/", "engine/text/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
CUDA_HEADER = re.compile(r"^(cuda|cublas|nccl|cooperative_groups|cub/)")
BRANCH = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b")
ENDS_PROCESS = re.compile(r"(?<![\w.])(?:std::)?(exit|_exit|_Exit|abort|quick_exit)\(")
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def files(root):
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        top = relative.parts[0]
        if top in SKIPPED or top == "build" or top.startswith("build-"):
            continue
        if path.suffix in CODE and path.is_file():
            yield relative


def longest(table, name):
    """The entry of the longest folder in `table` that holds the file `name`, or None."""
    folders = [f for f in table if name.startswith(f + "/")]
    return max(folders, key=len) if folders else None


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        if found := INCLUDE.match(line):
            yield number, found[1] == '"', found[2]


class House:
    def __init__(self, root):
        self.texts = {str(p): (root / p).read_text(errors="replace") for p in files(root)}
        self.breaches = []

    def breach(self, name, line, what):
        self.breaches.append(f"{name}:{line}: {what}")

    def check_include(self, name, line, quoted, header):
        cuda_folder = "/cuda/" in name
        if CUDA_HEADER.match(header) and not cuda_folder:
            self.breach(name, line, f"<{header}>: CUDA headers appear only under */cuda/")
        if header.endswith(".pb.h") and not name.startswith(("server/grpc/", "tests/")):
            self.breach(name, line, f"{header}: only server/grpc sees protobuf types")
        if not quoted or header.endswith(".pb.h"):
            return
        folder = longest(ALLOWED, name)
        if folder is None:
            return
        own = header.startswith(folder + "/")
        if not own and not header.startswith(tuple(ALLOWED[folder]) or "\0"):
            self.breach(name, line, f'"{header}": {folder}/ may not know it')
        for part, prefixes in FORBIDDEN.items():
            if name.startswith(part + "/") and header.startswith(tuple(prefixes)):
                self.breach(name, line, f'"{header}": {part}/ may not know it')

    def check_reach(self, name):
        folder = longest(UNREACHABLE, name)
        if folder is None:
            return
        seen, waiting = set(), [(name, [])]
        while waiting:
            current, chain = waiting.pop()
            for _, quoted, header in includes(self.texts.get(current, "")):
                if not quoted or header in seen:
                    continue
                seen.add(header)
                # An options.h is plain data and belongs to everyone.
                if header.startswith(tuple(UNREACHABLE[folder])) and header not in OPTIONS_HEADERS:
                    path = " > ".join([*chain, header])
                    self.breach(name, 1, f"reaches {header} ({path}): {folder}/ stands without it")
                waiting.append((header, [*chain, header]))

    def check_lines(self, name, text):
        count = text.count("\n")
        if count > MAX_LINES:
            self.breach(name, count, f"{count} lines; files stay under {MAX_LINES}")
        tested = name.startswith(("tests/", "bench/"))
        for number, line in enumerate(text.splitlines(), 1):
            if BRANCH.match(line) and not tested:
                self.breach(name, number, "preprocessor branch: choose in CMake or at run time")
            code = line.split("//")[0]
            if ENDS_PROCESS.search(code) and name != "server/main.cpp" and not tested:
                self.breach(name, number, "only main ends the process")
            if LEFT_FOR_LATER.search(line):
                self.breach(name, number, "left for later")

    def check(self):
        for name, text in self.texts.items():
            for line, quoted, header in includes(text):
                self.check_include(name, line, quoted, header)
            self.check_reach(name)
            self.check_lines(name, text)
        return self.breaches


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    house = House(root)
    if not house.texts:
        print(f"no sources under {root}")
        return 1
    breaches = house.check()
    print("\n".join(breaches) if breaches else f"{len(house.texts)} files keep the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
