"""What is known of a built model, for ``tuning.json``: precision, scales and zero points of each op."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autoq.adaptors.pytorch.execution import is_plain_module
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_eager.base import Base, base_of
from autoq.adaptors.pytorch_eager.leaves import StaticLeaf
from autoq.core.plan import Plan


def tuning_record(base: Base, module: nn.Module, plan: Plan) -> dict[str, Any]:
    """By op id: type, precision, input and output scale and zero point, scales of the weight.

    Args:
        base: What it was built from.
        module: The built model.
        plan: What it runs.
    """
    found: dict[str, Any] = {}
    for op in base.fusion.ops.values():
        entry: dict[str, Any] = {"type": op.kind.name, "precision": plan[op.id].to_json()}
        leaf = module.get_submodule(op.path)
        if isinstance(leaf, StaticLeaf):
            held: Any = leaf.quantized
            entry["input"] = {"scale": leaf.scale, "zero_point": leaf.zero_point}
            entry["output"] = {"scale": held.scale, "zero_point": held.zero_point}
            entry["weight_scales"] = _scales(held.weight())
        found[op.id] = entry
    return found


def op_modules(model: TorchModel, module: nn.Module) -> dict[str, nn.Module]:
    """The module that does each op, by op id, in a candidate's module or in what wraps it.

    An op that a candidate has no module for is left out: what was captured as a graph has only functions in it.
    """
    ops = base_of(model).fusion.ops.values()
    roots = (module, *module.children()) if is_plain_module(module) else ()
    for root in roots:
        found = {op.id: child for op in ops if (child := _at(root, op.path)) is not None}
        if found:
            return found
    return {}


def _at(root: nn.Module, path: str) -> nn.Module | None:
    try:
        found: nn.Module = root.get_submodule(path)
    except AttributeError:
        return None
    # What is captured keeps a module that only holds the weights.
    return found if type(found) is not nn.Module else None


def _scales(weight: Tensor) -> list[float]:
    if not weight.is_quantized:
        return []
    if str(weight.qscheme()).startswith("torch.per_channel"):
        return [float(s) for s in weight.q_per_channel_scales()]
    return [float(weight.q_scale())]
