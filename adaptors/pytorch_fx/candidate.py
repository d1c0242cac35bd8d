"""A converted graph, ready to run as it will be saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from autoq.adaptors.pytorch.candidate import TorchCandidate, module_bytes
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import guarded, quiet
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.script import takes_other_sizes
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.realized import realized_plan, tuning_record
from autoq.core.adaptor import RunOptions
from autoq.core.plan import Plan

_RUNS = 3  # the interpreter optimizes after its first runs


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
        run=_Script(converted, model, options),
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


class _Script:
    """Runs a graph as TorchScript, the form it is saved in: a third faster where ops are small.

    Traced at the first call, since a plan that is only built needs none. Where the trace gives other outputs, for the
    example, for another number of samples or for shorter texts and smaller images, the graph itself runs.
    """

    def __init__(self, converted: GraphModule, model: TorchModel, options: RunOptions) -> None:
        self._flat = Flat(converted, model.signature)
        self._names = [spec.name for spec in model.outputs]
        self._positional = model.signature.positional
        self._order = model.signature.names
        self._example = (*model.example[0], *model.example[1].values())
        self._options = options
        self._run: Any = None

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        if self._run is None:
            self._run = self._traced() or self._flat
        tensors = (*args, *(kwargs[name] for name in self._order[self._positional :]))
        return dict(zip(self._names, self._run(*tensors), strict=True))

    def _traced(self) -> Any:
        with guarded(self._options.threads), quiet():
            try:
                script = torch.jit.trace(
                    self._flat, self._example, check_trace=False, strict=False, _store_inputs=False
                )
                frozen = torch.jit.freeze(script.eval())
                same = all(self._gives_the_same(frozen, batch) for batch in (self._example, self._other_number()))
                return frozen if same and takes_other_sizes(self._flat, frozen, self._example) else None
            except (RuntimeError, ValueError, IndexError, TypeError):
                return None  # the graph runs, and saving says what TorchScript cannot do

    def _other_number(self) -> Sequence[Tensor]:
        """One sample where the example has more, else two."""
        many = any(len(tensor) > 1 for tensor in self._example if tensor.ndim)
        return tuple(tensor[:1] if many else torch.cat([tensor, tensor]) for tensor in self._example)

    def _gives_the_same(self, script: Any, batch: Sequence[Tensor]) -> bool:
        wanted = self._flat(*batch)
        return all(
            torch.equal(torch.nan_to_num(found), torch.nan_to_num(want))
            for _ in range(_RUNS)
            for found, want in zip(script(*batch), wanted, strict=True)
        )
