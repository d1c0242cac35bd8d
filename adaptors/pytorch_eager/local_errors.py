"""The error each op makes by itself: its quantized module runs beside the float one, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.local_errors import add_difference
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.support import told_as_trial
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.adaptors.pytorch_eager.build import build
from autoq.adaptors.pytorch_eager.calibrate import run
from autoq.adaptors.pytorch_eager.leaves import StaticLeaf
from autoq.calibration.output_error import OutputErrors
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def local_errors(
    model: TorchModel, plan: Plan, calibration: Calibration | None, batches: Iterable[Batch], options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs, by op id.

    Here the very int8 kernels of a trial are compared; of an op called several times, all calls together.

    Raises:
        TrialError: The plan cannot be built.
        DataError: The model fails on the data.
    """
    base, errors = base_of(model), OutputErrors()
    chosen = Plan({op: precision for op, precision in plan.precisions.items() if not precision.is_float})
    with guarded(options.threads), told_as_trial():
        quantized = build(base, chosen, calibration)
    handles = []
    try:
        for op_id in chosen:
            path = base.fusion.ops[op_id].path
            leaf = quantized.get_submodule(path)
            if isinstance(leaf, StaticLeaf):
                # It stands alone, whatever its neighbours in the built model are.
                leaf.takes_quantized = leaf.gives_quantized = False
            hooks = _Beside(errors, op_id, leaf)
            target = base.module.get_submodule(path)
            handles.append(target.register_forward_pre_hook(hooks.before, with_kwargs=True))
            handles.append(target.register_forward_hook(hooks.after))
        for batch in batches:
            with guarded(options.threads):
                run(model, base.module, batch)
    finally:
        for handle in handles:
            handle.remove()
    return errors.relative()


class _Beside:
    """Runs a quantized module whenever its float original runs."""

    def __init__(self, errors: OutputErrors, op_id: str, leaf: nn.Module) -> None:
        self._errors = errors
        self._op_id = op_id
        self._leaf: Callable[..., Any] = leaf
        self._found: Any = None

    def before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The quantized module goes first: the float one may write into what it reads."""
        self._found = self._leaf(*map(_own, args), **{name: _own(value) for name, value in kwargs.items()})

    def after(self, _module: nn.Module, _args: Any, result: Any) -> None:
        """Compare, and drop."""
        add_difference(self._errors, self._op_id, result, self._found)
        self._found = None


def _own(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
