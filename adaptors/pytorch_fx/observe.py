"""Intermediate tensors of the float graph: counted in one streaming pass, or handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.fx import Interpreter, Node

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.outputs import to_numpy
from autoq.adaptors.pytorch.statistics import calibration_of, collectors_for, take_in
from autoq.adaptors.pytorch_fx.graph import FxGraph, marked, placed
from autoq.core.batch import Array, Batch
from autoq.core.errors import DataError, ModelError
from autoq.core.statistics import Calibration, Needs
from autoq.core.suggest import did_you_mean


def calibrate(model: TorchModel, graph: FxGraph, batches: Iterable[Batch], needs: Needs) -> Calibration:
    """Statistics of the needed tensors in one pass; a tensor is counted as soon as it is there, and then dropped.

    Raises:
        DataError: The data do not fit the model, or drive a tensor to NaN or infinity.
    """
    collectors = collectors_for(needs)
    samples = 0
    watched = _watched(graph, needs.tensors)
    watcher = _Watcher(graph, lambda node, tensor: take_in(collectors[watched[node]], tensor), watched)
    with running():
        for batch in batches:
            watcher.take(model, batch)
            samples += batch.samples
    return calibration_of(collectors, samples, model.fingerprint)


def observe(
    model: TorchModel, graph: FxGraph, batches: Iterable[Batch], tensors: Sequence[str]
) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch.

    Raises:
        ModelError: There is no such tensor.
        DataError: The data do not fit the model.
    """
    watched = _watched(graph, tensors)
    found: dict[str, Array] = {}
    watcher = _Watcher(graph, lambda node, tensor: found.update({watched[node]: to_numpy(tensor).copy()}), watched)
    for batch in batches:
        found.clear()
        with running():
            watcher.take(model, batch)
        yield {name: found[name] for name in tensors}


def _watched(graph: FxGraph, tensors: Sequence[str]) -> dict[str, str]:
    """Tensor name by node name."""
    wanted = set(tensors)
    unknown = next((name for name in tensors if name not in set(graph.tensors.values())), None)
    if unknown is not None:
        raise ModelError(
            f"the model computes no tensor '{unknown}'", hint=did_you_mean(unknown, graph.tensors.values())
        )
    return {node: name for node, name in graph.tensors.items() if name in wanted}


class _Watcher(Interpreter):  # type: ignore[misc]
    """Runs the float graph and shows some of its tensors as they come."""

    def __init__(self, graph: FxGraph, show: Callable[[str, Tensor], None], watched: Mapping[str, str]) -> None:
        super().__init__(graph.fused)
        self.extra_traceback = False
        self._show = show
        self._watched = watched
        self._place: str | None = None

    def run_node(self, n: Node) -> Any:
        """One node; kept for errors is which."""
        self._place = marked(n) or n.name
        result = super().run_node(n)
        if n.name in self._watched and isinstance(result, Tensor):
            self._show(n.name, result)
        return result

    def take(self, model: TorchModel, batch: Batch) -> None:
        """Run one batch."""
        args, kwargs = model.signature.bind(batch.inputs)
        try:
            self.run(*placed(self.module, args, kwargs))
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"the model fails on the calibration data: {first_line(error)}",
                where=self._place,
                hint="check the shapes and the preprocessing of the calibration data",
            ) from error
