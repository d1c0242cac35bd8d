"""The tools that are compared: which driver runs them, where, and which runtime their models are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.peers.virtualenvs import Environment

Runtime = Literal["onnxruntime", "openvino"]

INC = Environment("inc", "3.10", "AUTOQ_PYTHON310")
NNCF = Environment("nncf")
OWN = Environment("")


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        title: Name in the table.
        environment: Where it runs.
        driver: Module that runs it.
        argument: Which of the driver's tools it is.
        runtime: What its models are for; they are judged there.
    """

    title: str
    environment: Environment
    driver: str
    argument: str
    runtime: Runtime = "onnxruntime"


TOOLS: Mapping[str, Tool] = {
    "autoq": Tool("**autoq**", OWN, "autoq_fit", "onnxrt_qdq"),
    "inc-basic": Tool("INC, basic", INC, "inc", "basic"),
    "inc-mse_v2": Tool("INC, mse_v2", INC, "inc", "mse_v2"),
    "inc-bayesian": Tool("INC, bayesian", INC, "inc", "bayesian"),
    "nncf-onnx": Tool("NNCF, ONNX", NNCF, "nncf_onnx", "accuracy-control"),
    "ort-static": Tool("quantize_static", OWN, "ort", "static"),
    "ort-dynamic": Tool("quantize_dynamic", OWN, "ort", "dynamic"),
    "autoq-openvino": Tool("**autoq**, OpenVINO", OWN, "autoq_fit", "openvino", "openvino"),
    "nncf-openvino": Tool("NNCF, OpenVINO", NNCF, "nncf_openvino", "accuracy-control", "openvino"),
}
"""By name, in the order of the table."""
