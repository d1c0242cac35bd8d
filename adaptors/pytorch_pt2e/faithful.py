"""Whether a compiled plan computes what the plan says: compilers have faults that no error tells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import fx

from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.adaptor import Candidate
from autoq.core.agreement import worst
from autoq.core.batch import Array
from autoq.core.errors import TrialError

LEAST = 10.0
"""Signal to difference, in dB, below which two outputs are not the same computation rounded differently.

Faithful packages were measured at 42 dB and more (with bfloat16), wrong ones at 2 dB and less.
"""

_ORDERING = (
    torch.ops.aten.topk.default,
    torch.ops.aten.sort.default,
    torch.ops.aten.sort.stable,
    torch.ops.aten.argsort.default,
    torch.ops.aten.argsort.stable,
)


def require_faithful(reference: Candidate, compiled: Candidate, model: Pt2eModel) -> None:
    """Compare the real numbers both forms give for the example the model was loaded with.

    Not compared is what rounding alone may change at will: whole numbers (class ids of a near tie), outputs that are
    zero throughout, and anything a model draws at random. Of a model that sorts, the values are compared in order of
    size, since near ties change places.

    Raises:
        TrialError: They disagree: the compiled form is wrong.
    """
    if _draws(model.graph):
        return
    inputs = {spec.name: tensor.numpy() for spec, tensor in zip(model.inputs, model.example, strict=True)}
    expected = {name: value for name, value in reference.predict(inputs).items() if _has_signal(value)}
    got = compiled.predict(inputs)
    found = worst(_sorted(expected), _sorted(got)) if _orders(model.graph) else worst(expected, got)
    if found < LEAST:
        raise TrialError(
            f"compiled, this plan gives other outputs than it should ({found:.1f} dB signal to difference): "
            "a fault of the compiler",
            hint="keep ops of unusual shape in float (quantization.op_wise)"
            if reference.realized.precisions
            else "framework: pytorch_fx or pytorch_eager, which do not compile",
        )


def _has_signal(value: Array) -> bool:
    return value.dtype.kind == "f" and bool(np.any(value))


def _sorted(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.sort(value, axis=None) for name, value in outputs.items()}


def _orders(graph: fx.GraphModule) -> bool:
    return any(node.target in _ORDERING for node in graph.graph.nodes)


def _draws(graph: fx.GraphModule) -> bool:
    return any(torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in graph.graph.nodes)
