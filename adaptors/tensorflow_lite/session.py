"""A ``.tflite`` file in an interpreter, ready to take batches of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow_lite.model import Interface
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter, reason
from autoq.core.batch import Array, Inputs, TensorSpec
from autoq.core.errors import DataError, TrialError
from autoq.core.feeding import feed


class Session:
    """An interpreter and how it is called.

    Args:
        content: The file.
        interface: How it is called.
        threads: Threads of one inference; None for LiteRT's default.
        keep_tensors: Whether `tensor` may be asked for intermediate tensors.
        reference: Run LiteRT's plain reference kernels, and no delegate.

    Raises:
        ValueError: See `make_interpreter`.
        RuntimeError: See `make_interpreter`.
    """

    def __init__(
        self,
        content: bytes,
        interface: Interface,
        threads: int | None = None,
        *,
        keep_tensors: bool = False,
        reference: bool = False,
    ) -> None:
        self.interpreter = make_interpreter(content, threads, keep_tensors=keep_tensors, reference=reference)
        self._interface = interface
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self._fed = {s.name: inputs[p]["index"] for s, p in zip(interface.inputs, interface.fed, strict=True)}
        self._fetched = {s.name: outputs[p]["index"] for s, p in zip(interface.outputs, interface.fetched, strict=True)}
        self._shapes = {
            s.name: tuple(int(n) for n in inputs[p]["shape"])
            for s, p in zip(interface.inputs, interface.fed, strict=True)
        }

    def run(self, inputs: Inputs) -> dict[str, Array]:
        """Outputs by name, in the model's order.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """
        fed = checked(inputs, self._interface)
        try:
            self._resize(fed)
            for name, array in fed.items():
                self.interpreter.set_tensor(self._fed[name], array)
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise TrialError(f"LiteRT failed: {reason(error)}") from error
        return {name: self.interpreter.get_tensor(index) for name, index in self._fetched.items()}

    def tensor(self, index: int) -> Array:
        """A tensor as the last run left it; of an input what was fed."""
        found: Array = self.interpreter.get_tensor(index)
        return found

    def _resize(self, fed: Mapping[str, Array]) -> None:
        # Only where a shape changed: allocating packs the weights anew.
        changed = {name: array.shape for name, array in fed.items() if array.shape != self._shapes[name]}
        for name, shape in changed.items():
            self.interpreter.resize_tensor_input(self._fed[name], list(shape))
        if changed:
            self.interpreter.allocate_tensors()
            self._shapes |= changed


def checked(inputs: Inputs, interface: Interface) -> dict[str, Array]:
    """Arrays by input name, of the shapes and dtypes the model takes.

    Raises:
        DataError: They are not.
    """
    fed = {name: np.ascontiguousarray(array) for name, array in feed(inputs, interface.inputs).items()}
    for spec in interface.inputs:
        array = fed[spec.name]
        # A scalar input is a one-element vector to `ascontiguousarray`.
        if spec.shape == () and array.size == 1:
            fed[spec.name] = array = array.reshape(())
        if not spec.accepts(array):
            raise DataError(
                f"input '{spec.name}' takes {spec.dtype} {_shown(spec)}, not {array.dtype} {list(array.shape)}",
                where=spec.name,
                hint=_batch_hint(spec, array),
            )
    return fed


def dequantized(array: Array, scales: Any, zero_points: Any) -> Array:
    """Real values of a tensor with one scale; other tensors as they are."""
    if len(scales) != 1 or array.dtype.kind not in "iu":
        return array
    return (np.float32(scales[0]) * (array.astype(np.float32) - np.float32(zero_points[0]))).astype(np.float32)


def _shown(spec: TensorSpec) -> list[int | str | None]:
    return list(spec.shape or ())


def _batch_hint(spec: TensorSpec, array: Array) -> str | None:
    shape = spec.shape or ()
    if shape and shape[0] is not None and shape[1:] == array.shape[1:] and shape[0] != len(array):
        return f"the model was converted for batches of {shape[0]}: set batch_size, or convert it with any batch size"
    return None
