"""Candidates of this route: scored on the reference graph, deployed compiled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from autoq.adaptors.pytorch.candidate import CompilableCandidate, CompiledCandidate, compiled_candidate, module_bytes
from autoq.adaptors.pytorch.native import Native
from autoq.adaptors.pytorch_pt2e.build import converted
from autoq.adaptors.pytorch_pt2e.deploy import compile_graph
from autoq.adaptors.pytorch_pt2e.faithful import require_faithful
from autoq.adaptors.pytorch_pt2e.graph import shared_copy
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.realized import compiled_plan, realized_plan, tuning_record
from autoq.adaptors.pytorch_pt2e.recipes import BF16
from autoq.adaptors.pytorch_pt2e.reference import faster
from autoq.core.adaptor import RunOptions
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


class Reference:
    """Runs a graph of a plan as it is scored before it is compiled.

    Args:
        model: Gives the names of inputs and outputs.
        graph: The float graph, or a converted one.
        autocast: Run under CPU autocast to bfloat16.
    """

    def __init__(self, model: Pt2eModel, graph: fx.GraphModule, *, autocast: bool) -> None:
        self._model = model
        self._graph = graph
        self._autocast = autocast

    @cached_property
    def _fast(self) -> fx.GraphModule:
        return faster(self._graph)

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        signature = self._model.torch.signature
        tensors = (*args, *(kwargs[name] for name in signature.names[signature.positional :]))
        return dict(zip((spec.name for spec in self._model.outputs), self.ordered(*tensors), strict=True))

    def ordered(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Outputs in order, of inputs in order."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            return tuple(self._fast(*tensors))


@dataclass(eq=False, kw_only=True)
class GraphCandidate(CompilableCandidate):
    """A plan as a graph.

    Attributes:
        source: The model it was built from.
        graph: Takes the inputs in order, returns a tuple of the outputs in order.
    """

    source: Pt2eModel
    graph: fx.GraphModule

    def compiled(self) -> CompiledCandidate:
        """The deployed form: one package, compiled the first time. Ops without an 8-bit kernel in it are float.

        Raises:
            TrialError: It does not compile.
        """
        if self._compiled is None:
            graph = self.graph
            deployed = compile_graph(graph, self.source, self.options.threads, autocast=self.autocast)
            found = compiled_candidate(self, deployed.package)
            require_faithful(self, found, self.source)
            found.realized = compiled_plan(self.realized, self.source.ops, graph, deployed.kernels)
            lost = [op for op in self.realized if op not in found.realized]
            if lost:
                found.notes = (*found.notes, f"the compiler made no 8-bit kernel for {', '.join(lost[:8])}")
            self._compiled = found
        return self._compiled


def build(model: Pt2eModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> GraphCandidate:
    """The candidate of a plan; without quantized ops, the float graph.

    Raises:
        TrialError: Calibration did not see a tensor the plan quantizes.
    """
    float_only = not plan.precisions
    graph = shared_copy(model.graph) if float_only else converted(model.graph, model.ops, plan, calibration)
    realized = plan if float_only else realized_plan(plan, model.ops, graph)
    autocast = BF16 in plan.recipes
    reference = Reference(model, graph, autocast=autocast)
    known = model.torch
    common: dict[str, Any] = {
        "run": reference,
        "signature": model.torch.signature,
        "outputs": tuple(model.outputs),
        "plan": plan,
        "realized": realized,
        "native": Native(reference.ordered, known.signature, known.returns, threads=options.threads),
        "size_bytes": max(module_bytes(graph), 1),
        "options": options,
        "record": tuning_record(realized, model.ops, graph),
        "model": model.torch,
    }
    return GraphCandidate(**common, autocast=autocast, source=model, graph=graph)
