"""The weights of any module as plain tensors: quantized and packed ones become integers, scales and zero points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """Tensors by name, each with memory of its own, as safetensors takes them.

    A quantized tensor ``w`` becomes ``w.int_repr``, ``w.scale`` and ``w.zero_point`` (and ``w.axis``, per channel);
    parts of packed parameters are numbered. Tied weights are kept once, under their first name.
    """
    found: dict[str, Tensor] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, value in module.state_dict().items():
        for key, tensor in _parts(name, value):
            identity = (tensor.data_ptr(), tuple(tensor.shape))
            if tensor.numel() and not tensor.is_quantized and identity in seen:
                continue
            seen.add(identity)
            found |= _plain(key, tensor)
    return found


def _parts(name: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, torch.ScriptObject):
        return _parts(name, value.__getstate__())
    if isinstance(value, tuple | list):
        return [part for i, item in enumerate(value) for part in _parts(f"{name}.{i}", item)]
    if isinstance(value, bool | int | float):
        return [(name, torch.tensor(value))]
    return []


def _plain(name: str, tensor: Tensor) -> dict[str, Tensor]:
    tensor = tensor.detach()
    if not tensor.is_quantized:
        return {name: tensor.clone(memory_format=torch.contiguous_format)}
    parts = {f"{name}.int_repr": tensor.int_repr().contiguous()}
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        parts[f"{name}.scale"] = torch.tensor(tensor.q_scale(), dtype=torch.float64)
        parts[f"{name}.zero_point"] = torch.tensor(tensor.q_zero_point(), dtype=torch.int64)
    else:
        parts[f"{name}.scale"] = tensor.q_per_channel_scales().clone()
        parts[f"{name}.zero_point"] = tensor.q_per_channel_zero_points().clone()
        parts[f"{name}.axis"] = torch.tensor(tensor.q_per_channel_axis(), dtype=torch.int64)
    return parts
