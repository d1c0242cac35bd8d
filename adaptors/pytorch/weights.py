"""Weights from a file into a module: safetensors, or what torch.save wrote, read without unpickling code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoq.adaptors.pytorch.execution import first_line
from autoq.core.errors import ModelError
from autoq.core.suggest import did_you_mean

_SHOWN = 4


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a state dict into a module; every key has to fit.

    Raises:
        ModelError: The file cannot be read, or its keys or shapes do not fit; names the first of them.
    """
    state = read_state(path)
    wanted = module.state_dict()
    missing = [k for k in wanted if k not in state]
    unexpected = [k for k in state if k not in wanted]
    misshaped = [k for k in wanted if k in state and _shape(wanted[k]) != _shape(state[k])]
    if missing and not unexpected and not misshaped:
        # Tied weights are often saved once.
        missing = _without_tied(module, missing, state)
    if missing or unexpected or misshaped:
        raise ModelError(
            "the weights do not fit the model: " + _misfits(wanted, state, missing, unexpected, misshaped),
            where=str(path),
            hint=_rename_hint(missing, unexpected) or "check the factory's arguments, e.g. the number of classes",
        )
    module.load_state_dict(state, strict=False)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name.

    Raises:
        ModelError: It is not there, damaged, or holds something else than tensors.
    """
    if not path.is_file():
        raise ModelError("there is no such weights file", where=str(path), hint="check model.weights")
    try:
        if path.suffix == ".safetensors":
            safe: dict[str, Tensor] = load_file(path)
            return safe
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ModelError(f"this is not a safetensors file, or it is damaged: {error}", where=str(path)) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            "the file holds more than weights, and will not be unpickled",
            where=str(path),
            hint="save the weights alone: torch.save(model.state_dict(), path), or safetensors.torch.save_file",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"the weights cannot be read: {first_line(error)}", where=str(path)) from error
    return _state_of(state, path)


def _state_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    # Training scripts wrap the weights in a checkpoint.
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ModelError(
            "the file holds no state dict of tensors",
            where=str(path),
            hint="save the weights alone: torch.save(model.state_dict(), path)",
        )
    state = {str(k): v for k, v in loaded.items()}
    if state and all(k.startswith("module.") for k in state):
        state = {k.removeprefix("module."): v for k, v in state.items()}  # of DataParallel
    return state


def _without_tied(module: nn.Module, missing: list[str], state: Mapping[str, Tensor]) -> list[str]:
    present = {id(p) for name, p in module.state_dict(keep_vars=True).items() if name in state}
    live = module.state_dict(keep_vars=True)
    return [k for k in missing if id(live[k]) not in present]


def _misfits(
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    missing: list[str],
    unexpected: list[str],
    misshaped: list[str],
) -> str:
    shapes = [f"{k} is {list(state[k].shape)} instead of {list(wanted[k].shape)}" for k in misshaped]
    parts = [
        f"{len(found)} {kind} ({'; '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''})"
        for kind, found in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if found
    ]
    return ", ".join(parts)


def _rename_hint(missing: list[str], unexpected: list[str]) -> str | None:
    if not missing or not unexpected:
        return None
    near = did_you_mean(unexpected[0], missing)
    return f"'{unexpected[0]}' in the file: {near}" if near else None


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None
