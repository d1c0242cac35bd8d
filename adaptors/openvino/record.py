"""What a saved model tells of its ops: precision, scales and zero points."""

from __future__ import annotations

from typing import Any

from autoq.adaptors.openvino.build import Quantized
from autoq.core.plan import Plan


def tuning_record(quantized: Quantized | None, realized: Plan) -> dict[str, Any]:
    """Per op id: its precision, the grids of what it reads, the scales of its weight. Plain data."""
    ops: dict[str, Any] = {}
    for op, precision in realized.precisions.items():
        entry: dict[str, Any] = {"precision": precision.to_json()}
        if quantized is not None and op in quantized.roots:
            grids = {name: quantized.grids[name].grid for name in quantized.roots[op]}
            entry["inputs"] = {
                name: {"scale": float(grid.scale), "zero_point": grid.zero_point} for name, grid in grids.items()
            }
        if quantized is not None and op in quantized.weight_scales:
            entry["weight_scales"] = [float(scale) for scale in quantized.weight_scales[op]]
        ops[op] = entry
    return {"ops": ops, "recipes": [recipe.to_json() for recipe in realized.recipes]}
