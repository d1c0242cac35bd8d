"""The onednn kernels of a converted graph without a compiler: what quantized ops really cost, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx
from torch._inductor import config
from torch._inductor.constant_folding import constant_fold
from torch._inductor.fx_passes.freezing_patterns import freezing_passes
from torch._inductor.fx_passes.post_grad import view_to_reshape

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import quiet
from autoq.core.errors import TrialError

aten = torch.ops.aten


def lowered(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The graph in kernels, for inputs of these very shapes.

    Raises:
        TrialError: The framework's passes fail on it.
    """
    try:
        with quiet(), config.patch({"freezing": True}):
            program = torch.export.export(graph, tuple(inputs), strict=False).run_decompositions(_decompositions())
            result = program.module(check_guards=False)
            for node in result.graph.find_nodes(op="call_function", target=aten.t.default):
                # The passes look for the general form of a transposed weight.
                node.target, node.args = aten.permute.default, (node.args[0], [1, 0])
            view_to_reshape(result)
            result.recompile()
            freezing_passes(result, tuple(inputs))
            constant_fold(result)
    except Exception as error:
        raise TrialError(f"the plan has no kernels to profile: {type(error).__name__}: {first_line(error)}") from error
    return result


def _decompositions() -> dict[object, object]:
    """Composite ops only: the passes know the others."""
    table = torch.export.default_decompositions()
    for op in list(table):
        if not torch._export.utils._is_cia_op(op):
            del table[op]
    return dict(table)
