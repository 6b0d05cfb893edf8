#!/usr/bin/env python3
"""The checker finds each kind of breach in a small tree made for it, and nothing in a clean one."""

import tempfile
import unittest
from pathlib import Path

from check_structure import House

CLEAN = {
    "engine/core/result.h": "#pragma once\n#include <string>\n",
    "engine/backend/backend.h": '#pragma once\n#include "engine/core/result.h"\n',
    "engine/backend/options.h": "#pragma once\n",
    "engine/backend/cuda/device.cu": "#include <cuda_runtime.h>\n",
    "config/config.h": '#pragma once\n#include "engine/backend/options.h"\n',
    "server/main.cpp": '#include "config/config.h"\nint main() { exit(0); }\n',
}


class CheckerTest(unittest.TestCase):
    def breaches(self, changes):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**CLEAN, **changes}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return House(Path(folder)).check()

    def test_clean_tree(self):
        self.assertEqual(self.breaches({}), [])

    def test_each_breach(self):
        cases = {
            "cuda outside cuda": {"engine/model/a.cpp": "#include <cuda_runtime.h>\n"},
            "http knows grpc": {"server/http/a.cpp": '#include "server/grpc/options.h"\n'},
            "grpc knows http": {"server/grpc/a.cpp": '#include "server/http/options.h"\n'},
            "protobuf outside grpc": {"server/a.cpp": '#include "dejavu/v1/generation.pb.h"\n'},
            "engine knows server": {"engine/a.cpp": '#include "server/options.h"\n'},
            "core knows backend": {"engine/core/a.h": '#include "engine/backend/backend.h"\n'},
            "config knows backend": {"config/a.cpp": '#include "engine/backend/backend.h"\n'},
            "schedule knows backend": {"engine/schedule/a.cpp": '#include "engine/backend/backend.h"\n'},
            "schedule reaches backend": {
                "engine/kv/page_table.h": '#include "engine/backend/backend.h"\n',
                "engine/schedule/a.cpp": '#include "engine/kv/page_table.h"\n',
            },
            "hub knows the engine": {"server/hub/a.cpp": '#include "engine/engine.h"\n'},
            "too long": {"engine/a.cpp": "//\n" * 401},
            "preprocessor": {"engine/a.cpp": "#ifdef FAST\n#endif\n"},
            "exit": {"engine/a.cpp": "void f() { std::abort(); }\n"},
            "left for later": {"engine/a.cpp": "// " + "TO" + "DO: soon\n"},
        }
        for name, changes in cases.items():
            with self.subTest(name):
                self.assertNotEqual(self.breaches(changes), [])


if __name__ == "__main__":
    unittest.main()
