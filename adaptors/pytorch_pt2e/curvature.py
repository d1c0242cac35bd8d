"""Second-order effect of rounded weights, on the exported float graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from torch import Tensor, fx

from autoq.adaptors.pytorch.curvature import RoundedWeight, output_curvature
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.rounding import rounded_weight
from autoq.adaptors.pytorch_pt2e.graph import shared_copy, tensor_of
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import Plan


def curvature(
    model: Pt2eModel, plan: Plan, batches: Iterable[Batch], seed: int, draws: int, options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of the output that rounding each op's weights causes; see `output_curvature`.

    Raises:
        TrialError: The plan names an unknown op.
        UnsupportedError: The model cannot be differentiated.
        DataError: The model fails on the data.
    """
    unknown = next((op for op in plan if op not in model.ops.by_id), None)
    if unknown is not None:
        raise TrialError("the model has no such op", where=unknown)
    graph = shared_copy(model.graph)
    nodes = {node.name: node for node in graph.graph.nodes}
    interpreter = _Differentiable(graph)
    weights: list[RoundedWeight] = []
    with guarded(options.threads):
        for op_id, precision in plan.precisions.items():
            op = model.ops.by_id[op_id]
            held = nodes[op.node].args[1] if op.weight is not None else None
            tensor = tensor_of(graph, held)
            if isinstance(held, fx.Node) and tensor is not None and precision.weight is not None:
                leaf = interpreter.lead(held.name, tensor)
                weights.append(RoundedWeight(op_id, leaf, rounded_weight(leaf, precision.weight)))
    runs = [partial(interpreter.outputs, model.torch.signature.tensors(batch.inputs)) for batch in batches]
    return output_curvature(weights, runs, seed=seed, draws=draws, threads=options.threads)


class _Differentiable(fx.Interpreter):  # type: ignore[misc]
    """Runs a graph in which some constants are replaced by tensors with gradients."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self._leaves = dict[str, Tensor]()

    def lead(self, name: str, tensor: Tensor) -> Tensor:
        """Let a get_attr node give a copy of its tensor that has gradients: every call reads a node of its own."""
        self._leaves[name] = tensor.detach().clone().requires_grad_(True)
        return self._leaves[name]

    def run_node(self, n: fx.Node) -> object:
        """The node's result."""
        return self._leaves[n.name] if n.name in self._leaves else super().run_node(n)

    def outputs(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Outputs in order, of inputs in order; inputs are copied, as a graph may write to them."""
        return tuple(self.run(*(tensor.clone() for tensor in tensors)))
