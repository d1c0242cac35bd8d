"""What a user holds of a model that has left its own code: called as the original was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from torch import Tensor, nn

from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.signature import Signature
from autoq.adaptors.pytorch.structure import Structure, structured
from autoq.core.errors import DataError, UnsupportedError


class Native(nn.Module):  # type: ignore[misc]
    """Takes the arguments of the original ``forward`` that the model was tuned with, and returns what it returned.

    It only infers: no gradients are recorded, and it stays in evaluation mode.

    Args:
        run: Takes the inputs in order, gives the outputs in order.
        signature: What it takes.
        returns: How the outputs are nested.
        threads: Intra-op threads; None leaves them as they are.
        model: The module inside of `run`, where there is one: its parameters are then those of this one.
    """

    def __init__(
        self,
        run: Callable[..., Sequence[Tensor]],
        signature: Signature,
        returns: Structure,
        *,
        threads: int | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.signature = signature
        self.returns = returns
        self.model = model
        self.training = False
        self._run = run
        self._threads = threads

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs, nested as the original's.

        Raises:
            DataError: An argument is missing, unknown, or has another shape or dtype.
        """
        tensors = self.signature.tensors(self._by_name(args, kwargs))
        with running(self._threads):
            return structured(self.returns, self._run(*tensors))

    def _by_name(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        names = self.signature.names[: self.signature.positional]
        while args and args[-1] is None:
            args = args[:-1]
        if len(args) > len(names):
            raise DataError(
                f"the saved model takes {len(names)} arguments by position, and was given {len(args)}",
                hint=f"it was tuned with the inputs: {', '.join(self.signature.names)}; give them by name",
            )
        given = dict(zip(names, args, strict=False))  # what may be None was not among the inputs
        twice = next((name for name in kwargs if name in given), None)
        if twice is not None:
            raise DataError(f"the input '{twice}' is given twice, by position and by name")
        return {name: value for name, value in {**given, **kwargs}.items() if value is not None}

    def train(self, mode: bool = True) -> Self:
        """It is in evaluation mode, and cannot leave it.

        Raises:
            UnsupportedError: For training mode.
        """
        if mode:
            raise UnsupportedError(
                "a saved model only infers", hint="train the original module, and tune it again afterwards"
            )
        return self  # an exported program inside forbids even eval()

    def extra_repr(self) -> str:
        """Names of the inputs."""
        return ", ".join(self.signature.names)
