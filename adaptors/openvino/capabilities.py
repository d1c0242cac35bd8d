"""The capability table of a model on OpenVINO's CPU plugin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import openvino as ov

from autoq.adaptors.capability_file import Costs, Support, read_support
from autoq.adaptors.onnxrt.capabilities import capability_table
from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion
from autoq.adaptors.onnxrt.graph import attribute
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.realized import BF16
from autoq.adaptors.openvino.runtime import has_bf16
from autoq.core.capability import CapabilityTable
from autoq.core.precision import Mode


@cache
def support(version: str = ov.__version__) -> Support:
    """What capability.yaml says of a version of OpenVINO.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    return read_support(Path(__file__).with_name("capability.yaml"), "openvino", version)


def offered(fusion: Fusion) -> Fusion:
    """The ops of a model that have a row in its table."""
    return Fusion(fusion.graph, [op for op in fusion.ops if op.label in support().ops and _is_offered(fusion, op)])


def capabilities(model: OnnxModel, probed: Costs) -> CapabilityTable:
    """Which op can run in which precision.

    Args:
        model: The model.
        probed: What was measured on this machine; empty when nothing was.

    Raises:
        ModelError: No op can be quantized; says why.
    """
    table = capability_table(offered(model.fusion), (Mode.STATIC,), probed, model.notes, support())
    if not has_bf16():
        return table
    return replace(table, recipes=(BF16,), float_recipes=((BF16,),))


def _is_offered(fusion: Fusion, op: FusedOp) -> bool:
    match op.type:
        case "Add":
            # A constant that is added becomes part of the op before it: quantizing the sum would only take it apart.
            return not any(name in fusion.graph.initializers for name in op.operands)
        case "ConvTranspose":
            return bool(attribute(fusion.graph.nodes[op.anchor], "group", 1) == 1)
        case _:
            return True
