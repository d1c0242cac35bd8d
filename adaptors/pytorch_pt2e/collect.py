"""Calibration and observation: the float graph runs once, and the tensors asked for are taken in as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.outputs import to_numpy
from autoq.adaptors.pytorch.statistics import calibration_of, collectors_for, take_in
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.batch import Array, Batch
from autoq.core.errors import AutoqError, DataError
from autoq.core.statistics import Calibration, Needs


def calibrate(model: Pt2eModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
    """Statistics of the needed tensors, in one pass.

    Raises:
        DataError: A batch does not fit, or drives a tensor to NaN.
    """
    collectors = collectors_for(needs)

    def take(name: str, value: Any) -> None:
        take_in(collectors[name], value)

    samples = 0
    for batch in batches:
        _run(model, batch, frozenset(collectors), take)
        samples += batch.samples
    return calibration_of(collectors, samples, model.fingerprint)


def observe(model: Pt2eModel, batches: Iterable[Batch], tensors: Sequence[str]) -> Iterator[Mapping[str, Array]]:
    """The named tensors, batch by batch.

    Raises:
        DataError: A batch does not fit, or the graph has no such tensor.
    """
    unknown = next((name for name in tensors if name not in model.ops.order), None)
    if unknown is not None:
        raise DataError(f"the graph has no tensor '{unknown}'")
    for batch in batches:
        found: dict[str, Array] = {}

        def take(name: str, value: Any, found: dict[str, Array] = found) -> None:
            if isinstance(value, Tensor):
                found[name] = to_numpy(value.clone())

        _run(model, batch, frozenset(tensors), take)
        yield found


def _run(model: Pt2eModel, batch: Batch, names: frozenset[str], take: Callable[[str, Any], None]) -> None:
    tensors = model.torch.signature.tensors(batch.inputs)
    try:
        with running():
            _Watching(model.graph, names, take).run(*tensors)
    except AutoqError:
        raise
    except Exception as error:
        raise DataError(
            f"the model fails on the calibration data: {type(error).__name__}: {first_line(error)}",
            hint="check the shapes and values of the calibration batches",
        ) from error


class _Watching(fx.Interpreter):  # type: ignore[misc]
    """Runs a graph node by node and hands out the results of some, before a later node writes into them."""

    def __init__(self, graph_module: fx.GraphModule, names: frozenset[str], take: Callable[[str, Any], None]) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False
        self._names = names
        self._take = take

    def run_node(self, n: fx.Node) -> Any:
        """The node's result."""
        result = super().run_node(n)
        if n.name in self._names:
            self._take(n.name, result)
        return result
