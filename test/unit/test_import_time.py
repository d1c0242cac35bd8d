from __future__ import annotations

import json
import subprocess
import sys

_MEASURE = """
import sys, time
start = time.perf_counter()
import autoq
print(time.perf_counter() - start)
"""

_LIST = """
import json, sys
import autoq
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

_HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "keras",
    "ai_edge_litert",
    "sklearn",
    "scipy",
    "numpy",
    "altair",
    "sqlalchemy",
    "pydantic",
}


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_autoq_takes_less_than_a_third_of_a_second() -> None:
    assert min(float(_run(_MEASURE)) for _ in range(5)) < 0.3


def test_importing_autoq_imports_no_framework() -> None:
    assert not _HEAVY & set(json.loads(_run(_LIST)))


def test_listing_the_public_names_loads_nothing() -> None:
    code = "import autoq, sys; print(set(autoq.__all__) <= set(dir(autoq)), 'numpy' in sys.modules)"
    assert _run(code).split() == ["True", "False"]
