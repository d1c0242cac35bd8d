"""A converted graph, ready to run."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import GraphModule

from autoq.adaptors.pytorch.candidate import TorchCandidate, module_bytes
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.realized import realized_plan, tuning_record
from autoq.core.adaptor import RunOptions
from autoq.core.plan import Plan


@dataclass(eq=False, kw_only=True)
class FxCandidate(TorchCandidate):
    """Runs an int8 graph.

    Attributes:
        converted: The graph; its nodes know which op they belong to.
    """

    converted: GraphModule


def fx_candidate(
    model: TorchModel, graph: FxGraph, plan: Plan, converted: GraphModule, options: RunOptions
) -> FxCandidate:
    """The candidate of a converted graph, with what is realized read back from it."""
    realized = realized_plan(plan, converted)
    return FxCandidate(
        run=converted,
        signature=model.signature,
        outputs=model.outputs,
        plan=plan,
        realized=realized,
        native=converted,
        size_bytes=max(module_bytes(converted), 1),
        options=options,
        record=tuning_record(realized, graph, converted),
        model=model,
        converted=converted,
    )
