"""Plans of this route as ONNX files: the framework's own reference form of the prepared graph."""

from __future__ import annotations

from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.reference import Reference, notes_of, static_part
from autoq.adaptors.pytorch_fx.build import fill, prepared_of
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.trace import backend
from autoq.core.capability import Op
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def reference(graph: FxGraph, plan: Plan, calibration: Calibration | None) -> Reference:
    """The module of a plan in float ops.

    Raises:
        TrialError: The plan cannot be built.
    """
    static = static_part(plan)
    try:
        with guarded():
            prepared = prepared_of(graph, static)
            fill(prepared, graph, calibration)
            module = _convert_to_reference_decomposed_fx(prepared, backend_config=backend())
    except AutoqError:
        raise
    except Exception as error:
        raise TrialError(f"the plan has no reference form: {type(error).__name__}: {first_line(error)}") from error
    ops = [Op(op.id, op.type) for op in graph.ops]
    return Reference(module, ops, frozenset(static), notes_of(plan))
