"""Second-order effect of rounded weights, on the fused float graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from autoq.adaptors.pytorch.curvature import output_curvature
from autoq.adaptors.pytorch.differentiable import differentiable, outputs_of
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.weights import weights_of
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import Plan


def curvature(
    model: TorchModel,
    graph: FxGraph,
    plan: Plan,
    batches: Iterable[Batch],
    seed: int,
    draws: int,
    options: RunOptions,
) -> Mapping[str, float]:
    """Relative squared error of the output that rounding each op's weights causes; see `output_curvature`.

    Raises:
        TrialError: The plan names an unknown op.
        UnsupportedError: The model cannot be differentiated.
        DataError: The model fails on the data.
    """
    unknown = next((op for op in plan if op not in graph.by_id), None)
    if unknown is not None:
        raise TrialError("the model has no such op", where=unknown)
    held = {
        op_id: [
            weight.target
            for member in graph.by_id[op_id].members
            for weight in weights_of(graph, graph.by_id[op_id], member)
        ]
        for op_id in plan
    }
    with guarded(options.threads):
        module, weights = differentiable(graph.fused, held, plan)
    runs = [partial(outputs_of, module, *model.signature.bind(batch.inputs)) for batch in batches]
    return output_curvature(weights, runs, seed=seed, draws=draws, threads=options.threads)
