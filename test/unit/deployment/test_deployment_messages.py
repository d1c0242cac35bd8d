"""Tasks, answers and results cross process boundaries and reports unchanged."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoq.core.deployed import Agreement, DeployedScore, Deployment, OpAgreement, RuntimeResult
from autoq.core.deployment import BrokenRule, ExportedModel, ExportedOp, ExportSettings
from autoq.core.deployment_task import (
    CompareDeployed,
    DeployedCompared,
    DeployedMeasured,
    DeployedScored,
    Export,
    Exported,
    MeasureDeployed,
    ScoreDeployed,
)
from autoq.core.file_format import FileFormat
from autoq.core.interval import Interval
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.records import Records
from autoq.core.task import answer_from_json, answer_to_json, task_from_json, task_to_json
from autoq.core.trial import Latency

PLAN = Plan({"conv": OpPrecision(Mode.STATIC, TensorQuant(DType.INT8), TensorQuant(DType.UINT8, Scheme.ASYM))})
MODEL = ExportedModel(
    Path("deployment/quantized.onnx"),
    (ExportedOp("conv", "node_conv2d", "relu", True),),
    ("bf16 is float32",),
    ("int8",),
    (BrokenRule("int8", "n", "stores uint8"),),
)
LATENCY = Latency(0.01, 0.02, Interval(0.5, 0.4, 0.6), 10)

TASKS = [
    Export(PLAN, "quantized.onnx", ExportSettings(17, "tensorrt")),
    Export(PLAN, "quantized.tflite", ExportSettings(format=FileFormat.TFLITE)),
    ScoreDeployed("openvino", MODEL, "held_out", 40),
    MeasureDeployed("onnxrt", "quantized.onnx", "fp32.onnx"),
    CompareDeployed("onnxrt", PLAN, MODEL, by_op=True),
]
ANSWERS = [
    Exported(MODEL, 1234),
    Exported(replace(MODEL, own_grids=True), 1234),
    DeployedMeasured(LATENCY),
    DeployedCompared(math.inf, 30.0, 55.0, (OpAgreement("conv", -math.inf),)),
]


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


@pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)
def test_a_task_comes_back_as_it_was(task):
    assert task_from_json(through_json(task_to_json(task))) == task


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: type(a).__name__)
def test_an_answer_comes_back_as_it_was(answer):
    assert answer_from_json(through_json(answer_to_json(answer))) == answer


def test_records_come_back_as_they_were():
    answer = DeployedScored({"top1": Records.of_rows(np.array([1.0, 0.0]))}, ("conv",), "1.31", ("a note",))
    again = answer_from_json(through_json(answer_to_json(answer)))
    assert np.array_equal(again.records["top1"].values, answer.records["top1"].values)
    assert (again.int8, again.version, again.notes) == (answer.int8, answer.version, answer.notes)


def test_a_result_comes_back_as_it_was():
    score = DeployedScore("top1", "tune", 0.9, 0.89, 0.88, Interval(0.01, -math.inf, 0.02), 100)
    runtime = RuntimeResult(
        "onnxrt", Agreement.DISAGREES, "1.31", (score,), 3, 4, LATENCY, 12.5, 30.0,
        OpAgreement("conv", 5.0), (OpAgreement("conv", 5.0),), ("a note",),
    )  # fmt: skip
    found = Deployment("abc", 0.002, "tensorrt", ("deployment/quantized.onnx",), (runtime,), ("int8",), MODEL.broken)
    assert Deployment.from_json(through_json(found.to_json())) == found


def test_what_an_older_version_stored_is_still_read():
    model = {k: v for k, v in through_json(MODEL.to_json()).items() if k != "own_grids"}
    assert ExportedModel.from_json(model) == MODEL
    found = Deployment("abc", 0.002, None, ("deployment/quantized.onnx",), (RuntimeResult("onnxrt", Agreement.PASSED),))
    stored = {k: v for k, v in through_json(found.to_json()).items() if k != "files"}
    assert Deployment.from_json({**stored, "file": "deployment/quantized.onnx"}) == found
    assert Deployment.from_json({**stored, "file": ""}).files == ()


def test_the_gate_passes_when_every_runtime_agrees_and_no_rule_is_broken():
    agreed = RuntimeResult("onnxrt", Agreement.PASSED)
    assert Deployment("abc", 0.002, None, ("f",), (agreed,)).passed
    assert not Deployment("abc", 0.002, None, ("f",), (agreed, RuntimeResult("openvino", Agreement.FAILED))).passed
    assert not Deployment("abc", 0.002, "tensorrt", ("f",), (agreed,), broken=MODEL.broken).passed
    assert not Deployment("abc", 0.002, None, (), (), failure="cannot be exported").passed


@pytest.mark.parametrize("difference", [0.002, -0.002])
def test_agreement_means_neither_worse_nor_better(difference):
    score = DeployedScore("top1", "tune", 0.9, 0.9, 0.9 - difference, Interval(difference, -1, 1), 100)
    assert score.within(0.002)
    assert not score.within(0.0019)
