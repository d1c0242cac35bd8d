"""`plan.yaml`: a plan as people read it, and as it is read back."""

from __future__ import annotations

from pathlib import Path

import yaml

from autoq.core.capability import Recipe
from autoq.core.errors import StoreError
from autoq.core.plan import Plan
from autoq.core.precision import OpPrecision
from autoq.store.artifacts import write_text_atomic

_HEAD = "# Which op runs in which precision; an op that is not named runs in fp32.\n"


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan.

    Raises:
        StoreError: The disk is full or not writable.
    """
    labels = {precision: precision.label for precision in plan.precisions.values()}
    if len(set(labels.values())) < len(labels):
        labels = {p: f"{p.label} #{i}" for i, p in enumerate(labels)}
    data = {
        "digest": plan.digest,
        "precisions": {label: precision.to_json() for precision, label in labels.items()},
        "ops": {op: labels[precision] for op, precision in plan.precisions.items()},
        "recipes": [recipe.to_json() for recipe in plan.recipes],
    }
    write_text_atomic(path, _HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def read_plan(path: Path) -> Plan:
    """Read what `write_plan` wrote, perhaps edited by hand.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        data = yaml.safe_load(path.read_text())
        precisions = {label: OpPrecision.from_json(p) for label, p in data["precisions"].items()}
        return Plan(
            {op: precisions[label] for op, label in data["ops"].items()},
            tuple(Recipe.from_json(r) for r in data.get("recipes", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise StoreError(f"the plan cannot be read: {error}", where=str(path)) from error
