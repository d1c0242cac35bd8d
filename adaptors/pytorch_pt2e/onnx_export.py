"""Plans of this route as ONNX files: the converted graph is the reference already."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.reference import Reference, notes_of, static_part
from autoq.adaptors.pytorch_pt2e.build import converted
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.capability import Op
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


class _Positional(nn.Module):  # type: ignore[misc]
    """A graph that takes its inputs in order, called with some of them by name."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Any:
        """The outputs of the graph."""
        return self.graph(*args, *kwargs.values())


def reference(model: Pt2eModel, plan: Plan, calibration: Calibration | None) -> Reference:
    """The module of a plan in float ops.

    Raises:
        TrialError: Calibration did not see a tensor the plan quantizes.
    """
    static = static_part(plan)
    with guarded():
        graph = converted(model.graph, model.ops, static, calibration) if len(static) else model.graph
    ops = [Op(op.id, op.type) for op in model.ops.ops]
    return Reference(_Positional(graph), ops, frozenset(static), notes_of(plan))
