"""How the search's own work grows with the number of ops: capabilities, space, and one ask.

``python -m benchmarks.scaling``: ONNX models of 100 to 5,000 ops (the capability table is the adaptor's own),
and every strategy's ask on the space that follows.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from autoq.core.adaptor import ModelSource
from autoq.core.inquiry import Findings, Inquiry
from autoq.core.plan import FP32_PLAN, Proposal
from autoq.core.registry import STRATEGIES, make_adaptor, strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.testing.strategy_contract import toy_trial
from autoq.testing.toy import ToyModel, ToyOp
from benchmarks.common import Cell, print_table, write_results


def chain(ops: int, path: Path) -> None:
    """A model of `ops` matrix products with constant weights, each followed by a Relu."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(ops):
        weights.append(numpy_helper.from_array(rng.normal(0, 0.3, (8, 8)).astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"m{i}"], f"matmul{i}"))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"x{i + 1}"], f"relu{i}"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info(f"x{ops}", TensorProto.FLOAT, ["n", 8])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def asks(name: str, space: Space, count: int) -> list[float]:
    """Seconds of each ask and tell, inquiries not counted, against a toy world in which every tenth op is too noisy."""
    model = ToyModel(tuple(ToyOp(op.id, noise=0.05 * (i % 10 == 0)) for i, u in enumerate(space.units) for op in u.ops))
    costs = Costs({o.id: 0.002 for o in model.ops}, {o.id: 0.001 for o in model.ops}, 1000, 0.01)
    strategy = strategy_factory(name)(space, costs, 0)
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
    noises = {op.id: op.noise for op in model.ops}
    sensitivities = {u.id: sum(noises[op.id] for op in u.ops) for u in space.units}
    found: list[float] = []
    while len(found) < count:
        started = time.perf_counter()
        asked = strategy.ask()
        spent = time.perf_counter() - started
        if isinstance(asked, Inquiry):
            strategy.tell(Findings(asked, sensitivities))
            continue
        if not isinstance(asked, Proposal):
            break
        trial = toy_trial(model, len(found) + 1, asked, 1000)
        started = time.perf_counter()
        strategy.tell(trial)
        found.append(spent + time.perf_counter() - started)
    return found


def main() -> None:
    """Measure and print."""
    rows: list[dict[str, Cell]] = []
    adaptor = make_adaptor("onnxrt_qdq")
    for ops in (100, 1000, 5000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chain.onnx"
            chain(ops, path)
            started = time.perf_counter()
            model = adaptor.load(ModelSource(str(path)))
            loaded = time.perf_counter()
            table = adaptor.capabilities(model)
            listed = time.perf_counter()
            space = Space.of(table)
            narrowed = time.perf_counter()
        line: dict[str, Cell] = {
            "ops": len(table),
            "load s": loaded - started,
            "capabilities s": listed - loaded,
            "space s": narrowed - listed,
        }
        for name in STRATEGIES:
            if name != "exhaustive":
                times = asks(name, space, 20)
                line[f"{name}: ask + tell s, median"] = statistics.median(times)
                line[f"{name}: slowest"] = max(times)
        rows.append(line)
    print_table("Growth with the number of ops", rows)
    print(f"\n{write_results('scaling', rows)}")


if __name__ == "__main__":
    main()
