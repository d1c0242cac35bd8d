"""Plans without quantized ops: fp32 as it is, bfloat16, compiled, and both."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from autoq.adaptors.pytorch.candidate import CompilableCandidate, TorchCandidate, module_bytes
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Autocast, InBfloat16
from autoq.adaptors.pytorch.guard import copy_of, guarded
from autoq.adaptors.pytorch.model import Form, TorchModel
from autoq.adaptors.pytorch.usability import compiler
from autoq.core.adaptor import RunOptions
from autoq.core.capability import Recipe
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan

COMPILE = Recipe("compile")
BF16 = Recipe("bf16")

FLOAT_RECIPES: tuple[tuple[Recipe, ...], ...] = ((COMPILE,), (BF16,), (BF16, COMPILE))
"""Every set of recipes for a model all in float."""


def float_recipes(model: TorchModel) -> tuple[tuple[Recipe, ...], ...]:
    """The sets worth trying for a model here: none compiled without a compiler, nor of TorchScript."""
    compiles = compiler() is not None and model.form is not Form.TORCHSCRIPT
    return tuple(several for several in FLOAT_RECIPES if compiles or COMPILE not in several)


def float_candidate(model: TorchModel, plan: Plan, options: RunOptions) -> TorchCandidate:
    """Build a plan in which every op is float.

    Raises:
        TrialError: A recipe is unknown, or the model does not run in bfloat16.
    """
    unknown = next((r for r in plan.recipes if r not in (COMPILE, BF16)), None)
    if unknown is not None:
        raise TrialError(f"PyTorch models have no recipe '{unknown.label}'", hint="there are: compile, bf16")
    with guarded(options.threads):
        module: nn.Module = copy_of(model.module, share_weights=BF16 not in plan.recipes)
        size = model.size_bytes
        if BF16 in plan.recipes:
            module, size = _in_bfloat16(module, model)
    common: dict[str, Any] = {
        "run": module,
        "signature": model.signature,
        "outputs": model.outputs,
        "plan": plan,
        "realized": plan,
        "native": module,
        "size_bytes": size,
        "options": options,
        "model": model,
    }
    if COMPILE in plan.recipes:
        return CompilableCandidate(**common)
    return TorchCandidate(**common)


def _in_bfloat16(module: nn.Module, model: TorchModel) -> tuple[nn.Module, int]:
    """The whole model in bfloat16; under autocast, when its code makes float32 tensors of its own."""
    args, kwargs = copy.deepcopy(model.example)
    narrow = InBfloat16(module).eval()
    try:
        narrow(*args, **kwargs)
        return narrow, max(module_bytes(narrow), 1)
    except RuntimeError:
        mixed = Autocast(copy_of(model.module, share_weights=True)).eval()
    try:
        mixed(*args, **kwargs)
    except AutoqError:
        raise
    except Exception as error:
        raise TrialError(f"the model does not run in bfloat16: {type(error).__name__}: {first_line(error)}") from error
    return mixed, model.size_bytes
