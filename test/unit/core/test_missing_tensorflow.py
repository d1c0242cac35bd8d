"""What is said where TensorFlow or LiteRT is not installed, or the other one is not needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_WITHOUT = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Absent())
from autoq.core.errors import MissingDependencyError
from autoq.core.registry import make_adaptor
try:
    make_adaptor({framework!r})
    print(json.dumps(["made", "", sorted({{"tensorflow", "ai_edge_litert"}} & set(sys.modules))]))
except MissingDependencyError as error:
    print(json.dumps([error.message, error.hint, []]))
"""


def made_without(framework: str, *absent: str) -> tuple[str, str, list[str]]:
    """What making an adaptor says where packages are missing; and which frameworks it imported."""
    code = _WITHOUT.format(framework=framework, absent=set(absent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, hint, imported = json.loads(done.stdout)
    return message, hint, imported


@pytest.mark.parametrize(
    ("framework", "absent", "extra"),
    [
        ("tensorflow", "tensorflow", "tensorflow"),
        ("tensorflow_lite", "ai_edge_litert", "tensorflow-lite"),
        ("tensorflow_lite", "ai_edge_quantizer", "tensorflow-lite"),
    ],
)
def test_a_missing_package_is_told_with_the_command(framework, absent, extra):
    message, hint, _ = made_without(framework, absent)
    assert message == f"framework '{framework}' needs the package '{absent}', which is not installed"
    assert hint == f"pip install 'autoq[{extra}]'"


def test_tensorflow_works_without_litert():
    assert made_without("tensorflow", "ai_edge_litert", "ai_edge_quantizer") == ("made", "", ["tensorflow"])


def test_litert_imports_no_tensorflow_by_itself():
    assert made_without("tensorflow_lite", "tensorflow")[0] == "made"
