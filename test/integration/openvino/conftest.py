"""A bench: a model on the OpenVINO adaptor, calibrated on random inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from small_graphs import encoder, small_cnn

from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.adaptor import OpenVinoAdaptor
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.space import Space

ONE_THREAD = RunOptions(threads=1)

Feed = Mapping[str, np.ndarray[Any, Any]]


def random_feed(model: OnnxModel, seed: int) -> Feed:
    """Normal inputs around .3, so that zero points are not in the middle; axes of any size become 2."""
    random = np.random.default_rng(seed)
    shapes = {spec.name: [s if isinstance(s, int) else 2 for s in spec.shape or ()] for spec in model.inputs}
    return {name: (random.standard_normal(shape) + 0.3).astype(np.float32) for name, shape in shapes.items()}


class Bench:
    """A loaded and calibrated model."""

    def __init__(self, proto: ModelProto | str, feeds: Sequence[Feed] = ()) -> None:
        self.adaptor = OpenVinoAdaptor()
        self.model = self.adaptor.load(ModelSource(proto))
        self.table = self.adaptor.capabilities(self.model)
        self.feeds = list(feeds) or [random_feed(self.model, seed) for seed in range(4)]
        batches = [Batch(feed, None, 1) for feed in self.feeds]
        self.calibration = self.adaptor.calibrate(self.model, batches, self.adaptor.needs(self.model, self.table))

    def full_plan(self) -> Plan:
        return Space.of(self.table).full_plan()

    def plan(self, *ops: str, label: str = "u8") -> Plan:
        """These ops in their first precision whose label holds `label`."""
        rows = (self.table[op] for op in ops)
        return Plan({row.op.id: next(p for p in row.precisions if label in p.label) for row in rows})

    def apply(self, plan: Plan) -> OpenVinoCandidate:
        candidate = self.adaptor.apply(self.model, plan, self.calibration, ONE_THREAD)
        assert isinstance(candidate, OpenVinoCandidate)
        return candidate

    def proto(self, plan: Plan) -> ModelProto:
        """The model a plan makes."""
        data = self.apply(plan).source.model
        assert isinstance(data, bytes)
        return ModelProto.FromString(data)

    def signal_to_noise(self, plan: Plan) -> float:
        """Decibels of the worst output, against fp32."""
        fp32, other = self.apply(FP32_PLAN), self.apply(plan)
        pairs = [(fp32.predict(feed), other.predict(feed)) for feed in self.feeds]
        return min(_decibels([(want[name], found[name]) for want, found in pairs]) for name in pairs[0][0])


def _decibels(pairs: Sequence[tuple[Any, Any]]) -> float:
    signal = sum(float(np.square(want).sum()) for want, _ in pairs)
    noise = sum(float(np.square(want - found).sum()) for want, found in pairs)
    return float(10 * np.log10(signal / max(noise, 1e-20)))


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def cnn() -> Bench:
    return Bench(small_cnn())


@pytest.fixture
def transformer() -> Bench:
    return Bench(encoder())
