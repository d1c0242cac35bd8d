"""What a user could run without quantizing anything, e.g. compiled fp32 or bf16: a quantized plan must beat it."""

from __future__ import annotations

from collections.abc import Sequence

from autoq.core.capability import Recipe
from autoq.core.plan import Plan, Proposal

_ADJECTIVES = {"compile": "compiled", "eager": "eager"}
"""How a recipe that says how a model runs, and not in which numbers, reads in front of a model."""


def rival_name(recipes: Sequence[Recipe]) -> str:
    """``compiled fp32``, ``bf16``, ``compiled bf16``: float recipes in a few words."""
    how = [_ADJECTIVES[r.name] for r in recipes if r.name in _ADJECTIVES]
    numbers = [r.label for r in recipes if r.name not in _ADJECTIVES]
    return " ".join([*how, *(numbers or ["fp32"])])


def rivals(float_recipes: Sequence[tuple[Recipe, ...]]) -> list[Proposal]:
    """One proposal per set of recipes; scored on all samples as deployed, since that form is the faster one."""
    return [Proposal(Plan({}, recipes), note=rival_name(recipes), deployed=True) for recipes in float_recipes]
