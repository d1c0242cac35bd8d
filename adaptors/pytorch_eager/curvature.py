"""Second-order effect of rounded weights, on the fused float modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from torch import nn

from autoq.adaptors.pytorch.curvature import output_curvature
from autoq.adaptors.pytorch.differentiable import differentiable, outputs_of
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import Plan


def curvature(
    model: TorchModel, plan: Plan, batches: Iterable[Batch], seed: int, draws: int, options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of the output that rounding each op's weights causes; see `output_curvature`.

    Raises:
        TrialError: The plan names an unknown op.
        UnsupportedError: The model cannot be differentiated.
        DataError: The model fails on the data.
    """
    base = base_of(model)
    unknown = next((op for op in plan if op not in base.fusion.ops), None)
    if unknown is not None:
        raise TrialError("the plan names an op this model does not have", where=unknown)
    paths = {op_id: base.fusion.ops[op_id].path for op_id in plan}
    held = {op_id: list(_weight_names(base.module, path)) for op_id, path in paths.items()}
    with guarded(options.threads):
        module, weights = differentiable(base.module, held, plan)
    runs = [partial(outputs_of, module, *model.signature.bind(batch.inputs)) for batch in batches]
    return output_curvature(weights, runs, seed=seed, draws=draws, threads=options.threads)


def _weight_names(module: nn.Module, path: str) -> Iterator[str]:
    """Full names of the weights of an op's module, which may hold the one it is fused of; not of its biases."""
    for name, _ in module.get_submodule(path).named_parameters():
        if name.rpartition(".")[2].startswith("weight"):
            yield f"{path}.{name}" if path else name
