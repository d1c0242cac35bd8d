"""Small models on the PyTorch 2 export route, and plans calibrated from scratch with the framework's own observers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import small_torch
import torch
from torch import Tensor, fx

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_pt2e.adaptor import Pt2eAdaptor
from autoq.adaptors.pytorch_pt2e.build import prepared
from autoq.adaptors.pytorch_pt2e.graph import shared_copy
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.torchao import MinMaxObserver, convert_pt2e
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration

ADAPTOR = Pt2eAdaptor()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with its table, its batches and their calibration."""

    model: Pt2eModel
    table: CapabilityTable
    batches: tuple[Batch, ...]
    calibration: Calibration

    def tensors(self, number: int = 0) -> tuple[Tensor, ...]:
        """The inputs of one batch."""
        return self.model.torch.signature.tensors(self.batches[number].inputs)

    def from_scratch(self, plan: Plan) -> fx.GraphModule:
        """The converted graph of a plan, calibrated by the framework's MinMax observers alone."""
        with guarded():
            ready = prepared(self.model.graph, self.model.ops, plan, MinMaxObserver)
            for number in range(len(self.batches)):
                ready(*self.tensors(number))
            return shared_copy(convert_pt2e(ready))


def loaded(source: ModelSource, batches: Iterable[Batch]) -> Loaded:
    """Load a model and calibrate it."""
    model = ADAPTOR.load(source)
    table = ADAPTOR.capabilities(model)
    several = tuple(batches)
    return Loaded(model, table, several, ADAPTOR.calibrate(model, several, ADAPTOR.needs(model, table)))


@functools.cache
def small(name: str) -> Loaded:
    """A model of `small_torch`."""
    source = ModelSource(small_torch.FACTORIES[name](), example=lambda: small_torch.inputs_for(name))
    return loaded(source, small_torch.batches_for(name))


def grids(graph: fx.GraphModule) -> list[tuple[Any, ...]]:
    """Scale and zero point of every quantize and dequantize node, in execution order."""
    found: list[tuple[Any, ...]] = []
    for node in graph.graph.nodes:
        if "quantize_per" in str(node.target):
            arguments = (_value(graph, a) for a in node.args[1:3])
            found.append((str(node.target), *arguments))
    return found


def same(one: fx.GraphModule, other: fx.GraphModule, inputs: tuple[Tensor, ...]) -> bool:
    """Whether two graphs have equal scales and give equal outputs, bit by bit."""
    with torch.no_grad():
        pairs = zip(one(*inputs), other(*inputs), strict=True)
        return grids(one) == grids(other) and all(torch.equal(a, b) for a, b in pairs)


def _value(graph: fx.GraphModule, argument: object) -> object:
    if isinstance(argument, fx.Node) and argument.op == "get_attr":
        return tuple(getattr(graph, str(argument.target)).tolist())
    return argument.name if isinstance(argument, fx.Node) else argument


def config(activation: Any, weight: Any) -> Any:
    """torchao's configuration of a whole model."""
    from torchao.quantization.pt2e.quantizer import QuantizationConfig

    return QuantizationConfig(activation, activation, weight, None)
