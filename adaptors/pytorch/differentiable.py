"""Copies of float models whose weights have gradients."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from torch import Tensor, nn

from autoq.adaptors.pytorch.curvature import RoundedWeight
from autoq.adaptors.pytorch.guard import copy_of
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch.rounding import rounded_weight
from autoq.core.plan import Plan

M = TypeVar("M", bound=nn.Module)


def differentiable(module: M, held: Mapping[str, Collection[str]], plan: Plan) -> tuple[M, list[RoundedWeight]]:
    """A copy in evaluation mode in which the weights of some ops have gradients, and nothing else has.

    Weights that two ops share are taken apart, as each op rounds them for itself; calls of one op share them still.

    Args:
        module: Stays as it is.
        held: Full names of each op's weights, by op id; several may name one tensor.
        plan: How they are rounded.

    Raises:
        ModelError: It cannot be copied.
        TrialError: PyTorch has no such weights.
    """
    duplicate = copy_of(module)
    tensors: dict[str, Tensor] = dict(duplicate.named_parameters(remove_duplicate=False))
    tensors |= dict(duplicate.named_buffers(remove_duplicate=False))
    for tensor in tensors.values():
        tensor.requires_grad_(False)
    weights: list[RoundedWeight] = []
    for op_id, names in held.items():
        quant = plan[op_id].weight
        own: dict[int, nn.Parameter] = {}
        for name in names if quant is not None else ():
            assert quant is not None
            tensor = tensors[name]
            if id(tensor) not in own:
                own[id(tensor)] = nn.Parameter(tensor.detach().clone())
                weights.append(RoundedWeight(op_id, own[id(tensor)], rounded_weight(tensor, quant)))
            _put(duplicate, name, own[id(tensor)])
    return duplicate, weights


def outputs_of(module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs of a module in order; it gets copies of its inputs, as it may write to them.

    Raises:
        ModelError: It returns something else than tensors.
    """
    given = {name: tensor.clone() for name, tensor in kwargs.items()}
    return list(flatten(module(*(tensor.clone() for tensor in args), **given)).values())


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    path, _, last = name.rpartition(".")
    holder = module.get_submodule(path)
    holder._buffers.pop(last, None)
    setattr(holder, last, parameter)
