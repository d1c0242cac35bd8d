"""Hundreds of damaged models: loading works or says what is wrong, and the process lives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

# Runs in a process of its own: a crash inside of a native library must be seen as one.
_SCRIPT = """
import json, random, sys
from onnx import ModelProto
from autoq.adaptors.onnxrt.adaptor import qdq
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN

path, kind, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
original, adaptor = open(path, "rb").read(), qdq()
random.seed(f"{kind} 1")


def flipped():
    data = bytearray(original)
    for _ in range(random.choice([1, 1, 4, 30])):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def truncated():
    return original[: random.randrange(len(original))]


def spliced():
    start = random.randrange(len(original))
    return original[:start] + random.randbytes(random.randrange(40)) + original[start + random.randrange(40) :]


def rewired():
    proto = ModelProto.FromString(original)
    graph = proto.graph
    for _ in range(random.choice([1, 2])):
        node = random.choice(graph.node)
        tensor = random.choice(graph.initializer)
        names = [n for other in graph.node for n in (*other.input, *other.output)]
        change = random.randrange(8)
        if change == 0 and node.input:
            node.input[random.randrange(len(node.input))] = random.choice([*names, "", "nowhere"])
        elif change == 1 and node.input:
            del node.input[random.randrange(len(node.input)) :]
        elif change == 2:
            node.op_type = random.choice(graph.node).op_type
        elif change == 3 and node.attribute:
            attribute = random.choice(node.attribute)
            attribute.i, attribute.f = random.choice([-1, 0, 2**40]), float("nan")
            if attribute.ints:
                attribute.ints[0] = random.choice([-3, 0, 2**40])
        elif change == 4 and tensor.dims:
            tensor.dims[random.randrange(len(tensor.dims))] = random.choice([-1, 0, 1, 7, 2**33])
        elif change == 5:
            tensor.data_type = random.randrange(24)
        elif change == 6:
            graph.node.add().CopyFrom(node)
        else:
            node.output[0] = random.choice([*names, ""])
    return proto.SerializeToString()


made, counts = globals()[kind], {"works": 0, "refused": 0}
for _ in range(rounds):
    data = made()
    open(path, "wb").write(data)
    try:
        model = adaptor.load(ModelSource(path))
        adaptor.capabilities(model)
        adaptor.apply(model, FP32_PLAN, None, RunOptions(1)).close()
        counts["works"] += 1
    except AutoqError as error:
        assert error.message
        counts["refused"] += 1
print(json.dumps(counts))
"""


@pytest.mark.parametrize("kind", ["flipped", "truncated", "spliced", "rewired"])
def test_damaged_models_are_refused_or_work(cnn: Any, tmp_path: Path, kind: str) -> None:
    path, rounds = tmp_path / "model.onnx", 150
    onnx.save(cnn, path)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(path), kind, str(rounds)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["works"] + counts["refused"] == rounds
    assert counts["refused"] > 0
    assert done.stdout.count("\n") == 1, "libraries print nothing"
