"""Content address of a module: structure, code and weights; the same in every process."""

from __future__ import annotations

import hashlib
import inspect
import re

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.checks import tensors_of
from autoq.adaptors.pytorch.signature import Signature

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (bool, int, float, str, type(None))


def fingerprint_of(module: nn.Module, signature: Signature) -> str:
    """The content address, 16 hexadecimal digits.

    It covers the tree of modules with their settings, the source of their classes, all parameters and buffers, and the
    inputs the model is run with.
    """
    digest = hashlib.sha256()
    for part in (*_structure(module), *(f"{s.name} {s.dtype}" for s in signature.inputs)):
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    for name, tensor in tensors_of(module):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_memory(tensor))
    return digest.hexdigest()[:16]


def _structure(module: nn.Module) -> list[str]:
    if isinstance(module, torch.jit.ScriptModule):
        return [str(module.inlined_graph)]
    parts = [_ADDRESS.sub("", repr(module))]
    for path, child in module.named_modules():
        settings = {k: v for k, v in sorted(vars(child).items()) if not k.startswith("_") and _is_plain(v)}
        parts.append(f"{path} {type(child).__qualname__} {settings}")
    if isinstance(module, torch.fx.GraphModule):
        parts.append(module.code)
    classes = {type(child) for child in module.modules()}
    own = [c for c in classes if not c.__module__.startswith("torch.")]
    for kind in sorted(own, key=lambda c: (c.__module__, c.__qualname__)):
        try:
            parts.append(inspect.getsource(kind))
        except (OSError, TypeError):
            parts.append(kind.__qualname__)  # typed into an interpreter, or generated
    return parts


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple | list) and all(isinstance(v, _PLAIN) for v in value))


def _memory(tensor: Tensor) -> memoryview:
    flat = tensor.detach().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())
