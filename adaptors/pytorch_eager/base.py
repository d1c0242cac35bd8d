"""The float model every plan starts from: batch norms folded, activations fused, everything else as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from autoq.adaptors.pytorch.execution import record
from autoq.adaptors.pytorch.guard import copy_of, guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_eager.fusion import INPUT, OUTPUT, Activation, EagerOp, Fusion, find_ops
from autoq.adaptors.pytorch_eager.kinds import plain_module
from autoq.adaptors.pytorch_eager.modules import module_form
from autoq.adaptors.pytorch_eager.preparation import prepare


@dataclass(frozen=True, eq=False)
class Base:
    """A float model with its ops.

    Attributes:
        module: Fused copy of the user's model; never changed.
        fusion: Its ops.
        ranks: Rank of each op's input in the example; None where it is no single tensor.
        dense: Whether results of convolutions must be handed out in the default memory layout: the model has views
            that other layouts break.
        notes: What a user should know of an op, by id.
    """

    module: nn.Module
    fusion: Fusion
    ranks: dict[str, int | None]
    dense: bool
    notes: dict[str, str]


_bases: WeakKeyDictionary[TorchModel, Base] = WeakKeyDictionary()


def base_of(model: TorchModel) -> Base:
    """The base of a model, made once.

    Raises:
        ModelError: It cannot be copied, or made of modules.
    """
    if model not in _bases:
        with guarded():
            _bases[model] = _make(model)
    return _bases[model]


def with_replaced(module: nn.Module, replacements: dict[str, nn.Module]) -> nn.Module:
    """A copy in which the modules at some paths are others, wherever they are referred to.

    Parameters are shared with the original, buffers are copied: a model may write to its buffers as it runs.
    """
    memo: dict[int, Any] = {id(parameter): parameter for parameter in module.parameters()}
    if "" in replacements:
        return replacements[""]
    for path, replacement in replacements.items():
        memo[id(module.get_submodule(path))] = replacement
    return copy.deepcopy(module, memo)


def _make(model: TorchModel) -> Base:
    source, execution = module_form(model)
    source, changed = prepare(source, model)
    if changed:
        args, kwargs = model.example
        _, execution = record(copy_of(source, share_weights=True), args, kwargs)
    fusion = find_ops(source, execution)
    replacements: dict[str, nn.Module] = {}
    for op in fusion.ops.values():
        replacements[op.path] = _fused(source, op)
        if op.norm is not None:
            replacements[op.norm] = nn.Identity()
        if op.spare is not None:
            replacements[op.spare] = nn.Identity()
    module = with_replaced(source, replacements)
    layers = [path for path in changed if isinstance(source.get_submodule(path), nn.TransformerEncoderLayer)]
    note = "PyTorch's fused encoder layer is not used beside quantized ops"
    notes = {op: note for op in fusion.ops if any(op.startswith(f"{layer}.") for layer in layers)}
    ranks = _ranks(model, module, fusion)
    return Base(module, fusion, ranks, _views_break(model, module, fusion), notes)


def _fused(source: nn.Module, op: EagerOp) -> nn.Module:
    """The float module of an op, of the framework's own class."""
    original: Any = source.get_submodule(op.path)
    if op.obstacle:
        return _folded(original, source, op) if op.norm else original
    leaf = _folded(original, source, op) if op.norm else plain_module(original, op.kind)
    if op.activation is None:
        return leaf
    fused: nn.Module = op.kind.fused_class(leaf, nn.ReLU())
    if op.activation is Activation.RELU6:
        # The quantized kernel ends in ReLU; the top of the observed range cuts at six.
        fused[1] = nn.ReLU6()
    return fused.eval()


def _folded(original: Any, source: nn.Module, op: EagerOp) -> nn.Module:
    assert op.norm is not None
    norm: Any = source.get_submodule(op.norm)
    leaf: Any = plain_module(original, op.kind)
    leaf.weight, leaf.bias = fuse_conv_bn_weights(
        leaf.weight,
        leaf.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        op.kind.is_transposed,
    )
    return leaf


def watch(module: nn.Module, path: str, side: str, see: Callable[[Any], Any]) -> Any:
    """Show every input or output of a module to a function; returns the handle that ends it."""
    target = module.get_submodule(path)
    if side == INPUT:
        return target.register_forward_pre_hook(lambda _, args: (see(args[0]) if args else None, None)[1])
    return target.register_forward_hook(lambda _, __, result: (see(result), None)[1])


def _run_watched(model: TorchModel, module: nn.Module, watched: list[tuple[str, str, Callable[[Any], Any]]]) -> None:
    handles = [watch(module, path, side, see) for path, side, see in watched]
    args, kwargs = model.example
    try:
        module(*(a.clone() for a in args), **{k: v.clone() for k, v in kwargs.items()})
    finally:
        for handle in handles:
            handle.remove()


def _ranks(model: TorchModel, module: nn.Module, fusion: Fusion) -> dict[str, int | None]:
    ranks: dict[str, int | None] = {}

    def noting(op: EagerOp) -> Callable[[Any], None]:
        def see(value: Any) -> None:
            ranks[op.id] = value.ndim if isinstance(value, Tensor) else None

        return see

    _run_watched(model, module, [(op.path, INPUT, noting(op)) for op in fusion.ops.values()])
    return ranks


def _views_break(model: TorchModel, module: nn.Module, fusion: Fusion) -> bool:
    """Whether the model fails when its convolutions give channels-last results, as quantized ones do."""

    def relayout(_: nn.Module, __: Any, result: Any) -> Any:
        if isinstance(result, Tensor) and result.ndim == 4:
            return result.contiguous(memory_format=torch.channels_last)
        return result

    paths = [op.path for op in fusion.ops.values() if op.kind.is_convolution]
    handles = [module.get_submodule(path).register_forward_hook(relayout) for path in paths]
    try:
        _run_watched(model, module, [])
    except RuntimeError:
        return True
    finally:
        for handle in handles:
            handle.remove()
    return False


__all__ = ["INPUT", "OUTPUT", "Base", "base_of", "watch", "with_replaced"]
