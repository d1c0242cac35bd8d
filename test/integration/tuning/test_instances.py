"""Speed and memory measured in processes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import RunnerError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.registry import make_adaptor
from autoq.testing.toy import INT8, ToyModel, ToyOp
from autoq.tuning.inputs_file import read_inputs, write_inputs
from autoq.tuning.instances import measure_instances
from autoq.tuning.memory import measure_memory


@pytest.fixture
def folders(tmp_path):
    adaptor = make_adaptor("toy")
    model = adaptor.load(ModelSource(ToyModel((ToyOp("a"), ToyOp("crash", fault="exit")))))
    found = {}
    for name, plan in (("fp32", FP32_PLAN), ("int8", Plan({"a": INT8}))):
        found[name] = tmp_path / name
        found[name].mkdir()
        batch = Batch(np.ones((4, 1), np.float32), None, 4)
        calibration = adaptor.calibrate(model, [batch], adaptor.needs(model, adaptor.capabilities(model)))
        adaptor.save(adaptor.apply(model, plan, calibration, RunOptions()), found[name])
    return found


def measure(folders, instances=2):
    return measure_instances(
        "toy",
        folders,
        "fp32",
        {"margin": np.ones((4, 1), np.float32)},
        instances=instances,
        threads=1,
        rounds=5,
        seconds=10,
        confidence=0.95,
        seed=0,
    )


def test_every_model_is_measured_beside_the_reference(folders):
    found = measure(folders)
    assert set(found) == {"fp32", "int8"}
    assert found["fp32"].ratio.value == 1
    assert found["int8"].rounds == 5
    assert found["int8"].ratio.low <= found["int8"].ratio.value <= found["int8"].ratio.high


def test_an_instance_that_cannot_load_says_why(folders, tmp_path):
    with pytest.raises(RunnerError, match="could not run the model"):
        measure({**folders, "gone": tmp_path / "gone"})


def test_memory_is_measured_in_a_fresh_process(folders):
    used = measure_memory("toy", folders["fp32"], np.ones((4, 1), np.float32), RunOptions(1))
    assert 0 <= used < 500_000_000


@pytest.mark.parametrize(
    "inputs",
    [np.ones((2, 3)), {"x": np.zeros(2, np.int64), "y": np.ones((2, 2))}, [np.ones(2), np.zeros((2, 1), np.float32)]],
    ids=["array", "mapping", "list"],
)
def test_inputs_come_back_in_the_form_they_had(inputs, tmp_path):
    write_inputs(inputs, tmp_path / "inputs.npz")
    again = read_inputs(tmp_path / "inputs.npz")
    assert type(again) is type(inputs)
    assert len(again) == len(inputs)
    pairs = again.items() if isinstance(again, dict) else enumerate(again)
    for key, array in pairs:
        assert np.array_equal(array, inputs[key])
        assert array.dtype == np.asarray(inputs[key]).dtype
