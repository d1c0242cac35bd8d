"""From a plan to the converted graph: annotate, prepare, fill in the ranges, convert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torch import fx

from autoq.adaptors.pytorch.guard import quiet
from autoq.adaptors.pytorch.statistics import range_of, unfilled
from autoq.adaptors.pytorch_pt2e.graph import shared_copy, tensor_of
from autoq.adaptors.pytorch_pt2e.ops import Ops
from autoq.adaptors.pytorch_pt2e.quantizer import PlanQuantizer, RangeObserver
from autoq.adaptors.pytorch_pt2e.torchao import UniformQuantizationObserverBase, convert_pt2e, prepare_pt2e
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def prepared(graph_module: fx.GraphModule, ops: Ops, plan: Plan, observer: type | None = None) -> fx.GraphModule:
    """A copy of the float graph with observers where the plan needs them; tensors are shared."""
    with quiet():
        return prepare_pt2e(shared_copy(graph_module), PlanQuantizer(ops, plan, observer))


def converted(graph_module: fx.GraphModule, ops: Ops, plan: Plan, calibration: Calibration | None) -> fx.GraphModule:
    """The graph of a plan with quantize and dequantize nodes, and weights in 8 bits.

    Raises:
        TrialError: Calibration did not see a tensor the plan quantizes.
    """
    with quiet():
        with _uncompiled():
            ready = prepared(graph_module, ops, plan)
            fill(ready, calibration)
            found = convert_pt2e(ready)
        # A new module: it gets its code here, and the framework forbids eval() on what it converted.
        return shared_copy(found)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Graphs on the way to the last one get no Python code: nobody calls them, and it took 40 % of the time."""
    with patch.object(fx.GraphModule, "recompile", lambda _: None):
        yield


def fill(ready: fx.GraphModule, calibration: Calibration | None) -> None:
    """Give every activation observer the range that calibration saw, and show every weight to its observer.

    Raises:
        TrialError: Calibration did not see a tensor the plan quantizes.
    """
    observers = {name: m for name, m in ready.named_modules() if isinstance(m, UniformQuantizationObserverBase)}
    for node in ready.graph.nodes:
        observer = observers.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(observer, RangeObserver):
            # One observer stands at several tensors that share a grid.
            observer.fill(*range_of(calibration, node.args[0].name, observer.quant))
        elif observer is not None:
            weight = tensor_of(ready, node.args[0])
            if weight is not None:
                observer(weight)
    empty = unfilled(observers.items())
    if empty:
        raise TrialError("an observer got no range from calibration", where=empty[0])
