"""`plan.yaml`: a plan as people read it."""

from __future__ import annotations

from pathlib import Path

import yaml

from autoq.core.plan import Plan
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
