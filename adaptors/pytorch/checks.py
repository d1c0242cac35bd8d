"""Models that cannot be quantized, told before anything is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from autoq.core.errors import ModelError

_TRAINING_ONLY = (_NormBase, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def check_weights(module: nn.Module) -> None:
    """Every parameter is a float32 (or integer) tensor, and every parameter and buffer is in main memory.

    Raises:
        ModelError: One is on the meta device or a GPU, complex, or of half or double precision; names it.
    """
    parameters = {path for path, _ in module.named_parameters()}
    for path, tensor in tensors_of(module):
        if tensor.device.type == "meta":
            raise ModelError(
                "this weight is on the meta device: it has a shape and no values",
                where=path,
                hint="load the weights first, e.g. model.to_empty(device='cpu') and model.load_state_dict(...)",
            )
        if tensor.device.type != "cpu":
            raise ModelError(
                f"this weight is on the device '{tensor.device}'", where=path, hint="move the model: model.cpu()"
            )
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.is_quantized:
            raise ModelError("this weight is quantized already", where=path, hint="tune the fp32 model it was made of")
        if path not in parameters:
            continue  # a table of angles may well be complex, or double
        if tensor.is_complex():
            raise ModelError(
                f"this weight is complex ({kind}), and there are no quantized kernels for complex numbers",
                where=path,
                hint="hold real and imaginary part as two real weights",
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ModelError(
                f"this weight is {kind}; autoq quantizes float32 models",
                where=path,
                hint="convert the model: model.float()",
            )


def check_mode(module: nn.Module) -> None:
    """The model is in evaluation mode.

    Raises:
        ModelError: A module is in training mode; names the one where it matters most.
    """
    training = [(path, child) for path, child in module.named_modules() if child.training]
    if not training:
        return
    matters = next(((p, c) for p, c in training if isinstance(c, _TRAINING_ONLY)), training[0])
    path, child = matters
    raise ModelError(
        f"this {type(child).__name__} is in training mode, where it computes something else",
        where=path or type(module).__name__,
        hint="call model.eval() first",
    )


def check_example(tensors: Sequence[Tensor], names: Sequence[str]) -> None:
    """Every input has a batch axis of the same length.

    Raises:
        ModelError: One has none, or another.
    """
    sizes = {name: (t.shape[0] if t.ndim else None) for name, t in zip(names, tensors, strict=True)}
    if None in sizes.values():
        odd = next(name for name, size in sizes.items() if size is None)
        raise ModelError("this input has no batch axis", where=f"input '{odd}'", hint="give arrays [samples, ...]")
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ModelError(f"the inputs of the example batch differ in their first axis: {told}")


def require_quantizable(found: int, module: nn.Module, route: str) -> None:
    """There is something to quantize.

    Raises:
        ModelError: Nothing was found; says which modules the model has.
    """
    if found:
        return
    kinds = sorted({type(c).__name__ for c in module.modules() if not any(True for _ in c.children())})
    raise ModelError(
        f"{route} finds nothing to quantize in this model",
        where=type(module).__name__,
        hint=f"its modules are: {', '.join(kinds[:8]) or 'none'}; "
        "convolutions, Linear, LSTM, GRU and Embedding can be quantized",
    )


def tied(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Weights that several modules share: the first name, and the others."""
    names: dict[int, list[str]] = {}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(path)
    return {first: tuple(others) for first, *others in names.values() if others}


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, the ones that are not saved too, by name."""
    yield from module.named_parameters()
    yield from module.named_buffers()
