"""How whole models may run besides op by op: uncompiled, and with bfloat16 where ops stay in float."""

from __future__ import annotations

import torch

from autoq.core.capability import Recipe
from autoq.core.errors import TrialError
from autoq.core.plan import Plan

EAGER = Recipe("eager")
BF16 = Recipe("bf16")

FLOAT_RECIPES: tuple[tuple[Recipe, ...], ...] = ((EAGER,), (BF16,))
"""Rivals with every op in float. The baseline is compiled already."""


def quantized_recipes() -> tuple[Recipe, ...]:
    """Recipes worth combining with 8-bit ops: bfloat16 only where the processor has instructions for it."""
    return (BF16,) if native_bf16() else ()


def native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 numbers; one that does not converts, and is slower than in float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def check_recipes(plan: Plan) -> None:
    """The recipes of a plan are known, and fit together.

    Raises:
        TrialError: They do not.
    """
    unknown = next((r for r in plan.recipes if r not in (EAGER, BF16)), None)
    if unknown is not None:
        raise TrialError(f"pytorch_pt2e has no recipe '{unknown.label}'", hint="there are: eager, bf16")
    if EAGER in plan.recipes and plan.precisions:
        raise TrialError("8-bit ops run compiled only", hint="remove the recipe 'eager', or use framework: pytorch_fx")
