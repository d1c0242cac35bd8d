"""Small ONNX models with known structure, and a way to calibrate them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from small_graphs import Graph, encoder, small_cnn

from autoq.adaptors.onnxrt import adaptor as adaptors
from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.space import Space, SpaceRules
from autoq.core.statistics import Calibration

ONE_THREAD = RunOptions(threads=1)


Feed = Mapping[str, np.ndarray[Any, Any]]


def random_feed(model: OnnxModel, seed: int = 0) -> Feed:
    """Standard normal inputs; axes of any size become 2."""
    random = np.random.default_rng(seed)
    return {
        spec.name: random.standard_normal([s if isinstance(s, int) else 2 for s in spec.shape or ()]).astype(np.float32)
        for spec in model.inputs
    }


class Bench:
    """A model on its adaptor, calibrated on random inputs."""

    def __init__(self, adaptor: OnnxAdaptor, proto: ModelProto, feeds: Sequence[Feed] | None = None) -> None:
        self.adaptor = adaptor
        self.model = adaptor.load(ModelSource(proto))
        self.table: CapabilityTable = adaptor.capabilities(self.model)
        self.feeds = list(feeds or [random_feed(self.model, seed) for seed in range(8)])
        needs = adaptor.needs(self.model, self.table)
        self.calibration: Calibration = adaptor.calibrate(self.model, [Batch(f, None, 1) for f in self.feeds], needs)

    def full_plan(self, *modes: Mode) -> Plan:
        return Space.of(self.table, SpaceRules(modes=modes or None)).full_plan()

    def apply(self, plan: Plan) -> Any:
        return self.adaptor.apply(self.model, plan, self.calibration, ONE_THREAD)

    def proto(self, plan: Plan) -> ModelProto:
        """The model a plan makes, before optimization."""
        return ModelProto.FromString(self.apply(plan).source.model)

    def outputs(self, plan: Plan) -> np.ndarray[Any, Any]:
        """First output on all calibration inputs, in one array."""
        candidate = self.apply(plan)
        return np.concatenate([next(iter(candidate.predict(f).values())).reshape(-1) for f in self.feeds])

    def signal_to_noise(self, plan: Plan) -> float:
        """Decibels, against fp32."""
        expected, found = self.outputs(Plan()), self.outputs(plan)
        return float(10 * np.log10((expected**2).sum() / max(float(((expected - found) ** 2).sum()), 1e-20)))


@pytest.fixture(autouse=True)
def _no_probe_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def new_graph() -> Callable[..., Graph]:
    return Graph


@pytest.fixture
def cnn() -> ModelProto:
    return small_cnn()


@pytest.fixture
def old_cnn() -> Callable[[int], ModelProto]:
    return small_cnn


@pytest.fixture
def transformer() -> ModelProto:
    return encoder()


@pytest.fixture
def qdq() -> OnnxAdaptor:
    return adaptors.qdq()


@pytest.fixture(params=["qdq", "qlinearops"])
def static_adaptor(request: pytest.FixtureRequest) -> OnnxAdaptor:
    return adaptors.qdq() if request.param == "qdq" else adaptors.qlinearops()


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def saved_cnn(cnn: ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "cnn.onnx"
    onnx.save(cnn, path)
    return path
