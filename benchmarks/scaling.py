"""How the search's own work grows with the number of ops: capabilities, space, and what a strategy takes for a trial.

``python -m benchmarks.scaling [--strategies auto ilp]``: ONNX models of 100 to 5,000 ops (the capability table is the
adaptor's own); and every strategy on the synthetic problem of `benchmarks.search_toy` with 300 and 5,000 ops. A trial
costs a strategy what it does from the answer to one proposal to the next one, answers to its inquiries included. Times
of strategies are those of the processor, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from autoq.core.adaptor import ModelSource
from autoq.core.inquiry import Inquiry
from autoq.core.plan import FP32_PLAN, Proposal
from autoq.core.registry import STRATEGIES, make_adaptor, strategy_factory
from autoq.core.space import Space
from autoq.testing.strategy_contract import toy_findings, toy_trial
from benchmarks.common import Cell, print_table, write_results
from benchmarks.search_toy import World, generate

OPS = {300: 0.05, 5000: 1.0}
"""Ops, and the seconds that a trial may cost a strategy."""

_TRIALS = 40
_SAMPLES = 1000


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


def overhead(name: str, world: World, trials: int) -> list[float]:
    """Seconds that a strategy itself takes for each trial."""
    strategy = strategy_factory(name)(world.space, world.costs, 0)
    strategy.tell(toy_trial(world.model, 0, Proposal(FP32_PLAN), _SAMPLES))
    found: list[float] = []
    spent = 0.0
    while len(found) < trials:
        started = time.process_time()
        asked = strategy.ask()
        spent += time.process_time() - started
        if not isinstance(asked, Proposal | Inquiry):
            break
        if isinstance(asked, Proposal):
            found.append(spent)
            spent = 0.0
        news = (
            toy_findings(world.model, asked)
            if isinstance(asked, Inquiry)
            else toy_trial(world.model, len(found), asked, _SAMPLES)
        )
        started = time.process_time()
        strategy.tell(news)
        spent += time.process_time() - started
    return found


def adaptor_row(ops: int) -> dict[str, Cell]:
    """What the adaptor and the space take for a chain."""
    adaptor = make_adaptor("onnxrt_qdq")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        chain(ops, path)
        started = time.perf_counter()
        model = adaptor.load(ModelSource(str(path)))
        loaded = time.perf_counter()
        table = adaptor.capabilities(model)
        listed = time.perf_counter()
        Space.of(table)
        narrowed = time.perf_counter()
    return {
        "ops": len(table),
        "load s": loaded - started,
        "capabilities s": listed - loaded,
        "space s": narrowed - listed,
    }


def strategy_row(name: str) -> dict[str, Cell]:
    """What a strategy takes for a trial."""
    row: dict[str, Cell] = {"strategy": name}
    for ops, allowed in OPS.items():
        times = overhead(name, generate(ops, 0), _TRIALS)
        row[f"{ops} ops: trials"] = len(times)
        row[f"{ops}: median ms"] = 1e3 * statistics.median(times) if times else None
        row[f"{ops}: mean ms"] = 1e3 * statistics.mean(times) if times else None
        row[f"{ops}: slowest ms"] = 1e3 * max(times) if times else None
        row[f"{ops}: over {1e3 * allowed:g} ms"] = sum(t > allowed for t in times)
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Growth with the number of ops.")
    known = [name for name in STRATEGIES if name != "exhaustive"]
    parser.add_argument("--strategies", nargs="*", default=known, choices=known, help="which; all by default")
    given = parser.parse_args()
    adaptor = [adaptor_row(ops) for ops in (100, 1000, 5000)]
    print_table("Growth with the number of ops", adaptor)
    rows: list[dict[str, Cell]] = []
    for name in given.strategies:
        rows.append(strategy_row(name))
        print(rows[-1], flush=True)
    print_table("What a strategy takes for a trial", rows)
    print(f"\n{write_results('scaling', [*adaptor, *rows])}")


if __name__ == "__main__":
    main()
