"""Real networks: calibrated once equals calibrated from scratch on the user's own module; saved, loaded, refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fx_from_scratch import from_scratch, grids
from torch import nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch_fx.adaptor import FxAdaptor
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch, Inputs
from autoq.core.errors import ModelError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import FP32, Granularity, Mode, Observer, OpPrecision, Scheme
from autoq.core.space import Space, SpaceRules

OPTIONS = RunOptions(threads=1)


def settled(module: nn.Module) -> nn.Module:
    """Random batch statistics, so that outputs vary."""
    torch.manual_seed(0)
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                child.running_mean.normal_(0, 0.1)
                child.running_var.uniform_(0.5, 1.5)
    return module.eval()


def pictures(side: int, channels: int = 3, samples: int = 2) -> list[Inputs]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(samples, channels, side, side)).astype(np.float32) for _ in range(2)]


def texts() -> list[Inputs]:
    rng = np.random.default_rng(0)
    return [
        {"input_ids": rng.integers(1000, 9000, (2, 12)), "attention_mask": np.ones((2, 12), np.int64)} for _ in range(2)
    ]


class Loaded:
    """A network, calibrated once."""

    def __init__(self, module: nn.Module, inputs: list[Inputs]) -> None:
        self.adaptor = FxAdaptor()
        self.model = self.adaptor.load(ModelSource(module, example=lambda: inputs[0]))
        self.table = self.adaptor.capabilities(self.model)
        self.batches = [Batch(each, None, 2) for each in inputs]
        needs = self.adaptor.needs(self.model, self.table)
        self.calibration = self.adaptor.calibrate(self.model, self.batches, needs)

    def full(self) -> Plan:
        return Space.of(self.table, SpaceRules(modes=(Mode.STATIC,))).full_plan()

    def assert_equal_to_scratch(self, plan: Plan) -> None:
        candidate = self.adaptor.apply(self.model, plan, self.calibration, RunOptions())
        assert candidate.realized == plan
        reference = from_scratch(self.model, self.adaptor.graph(self.model), plan, self.batches)
        assert grids(candidate.native) == grids(reference)
        args, kwargs = self.model.signature.bind(self.batches[0].inputs)
        with guarded():
            found, want = flatten(candidate.native(*args, **kwargs)), flatten(reference(*args, **kwargs))
        assert all(torch.equal(found[name], want[name]) for name in want)

    def mixed(self, seed: int) -> Plan:
        rng = np.random.default_rng(seed)
        chosen = {}
        for row in self.table:
            precisions = [p for p in row.precisions if p.mode is Mode.STATIC and _as_torch_observes(p)] + [FP32]
            chosen[row.op.id] = precisions[int(rng.integers(len(precisions)))]
        return Plan(chosen)


def _as_torch_observes(precision: OpPrecision) -> bool:
    activation = precision.activation
    return activation is not None and activation.observer is Observer.MINMAX and activation.scheme is Scheme.ASYM


@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v2", "minilm"])
def network(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    from examples.pytorch import models

    if request.param == "minilm":
        yield Loaded(models.minilm(), texts())
    else:
        yield Loaded(settled(getattr(models, request.param)()), pictures(64))


def test_full_plan_equals_scratch(network: Loaded) -> None:
    network.assert_equal_to_scratch(network.full())


def test_single_fallback_equals_scratch(network: Loaded) -> None:
    plan = network.full()
    middle = list(plan)[len(plan) // 2]
    network.assert_equal_to_scratch(plan.with_precisions({middle: FP32}))


def test_random_mixed_plan_equals_scratch(network: Loaded) -> None:
    plan = network.mixed(1)
    assert {p.weight.granularity for p in plan.precisions.values() if p.weight} == {
        Granularity.PER_CHANNEL,
        Granularity.PER_TENSOR,
    }
    network.assert_equal_to_scratch(plan)


@pytest.mark.parametrize(
    ("name", "arguments", "inputs"),
    [
        ("resnet50", {"num_classes": 10}, pictures(64)),
        ("efficientnet_lite0", {}, pictures(96)),
        ("unet", {"width": 8}, pictures(32)),
        ("detector", {"in_channels": 3, "width": 32}, pictures(64)),
    ],
)
def test_convolutional_networks_are_quantized_throughout(
    name: str, arguments: dict[str, int], inputs: list[Inputs], tmp_path: Path
) -> None:
    from examples.pytorch import models

    module = getattr(models, name)(**arguments)
    loaded = Loaded(module if name == "efficientnet_lite0" else settled(module), inputs)
    candidate = loaded.adaptor.apply(loaded.model, loaded.full(), loaded.calibration, OPTIONS)
    assert candidate.realized == loaded.full()
    assert set(loaded.full()) == {row.op.id for row in loaded.table}
    fp32 = loaded.adaptor.apply(loaded.model, FP32_PLAN, None, OPTIONS)
    exact, found = fp32.predict(inputs[0]), candidate.predict(inputs[0])
    for output in exact:
        noise = np.square(exact[output] - found[output]).mean() / np.square(exact[output] - exact[output].mean()).mean()
        assert noise < 0.3, output  # random pictures are far from what EfficientNet was trained on
    loaded.adaptor.save(candidate, tmp_path)
    again = loaded.adaptor.load_artifact(tmp_path, OPTIONS).predict(inputs[0])
    assert all(np.array_equal(again[output], found[output]) for output in found)


def test_an_lstm_runs_dynamic_beside_static_layers() -> None:
    from examples.pytorch import models

    rng = np.random.default_rng(0)
    loaded = Loaded(models.lstm(vocabulary=200), [rng.integers(1, 200, (2, 9)) for _ in range(2)])
    plan = Space.of(loaded.table, SpaceRules(modes=(Mode.STATIC, Mode.DYNAMIC))).full_plan()
    candidate = loaded.adaptor.apply(loaded.model, plan, loaded.calibration, OPTIONS)
    assert candidate.realized == plan
    assert plan["lstm"].mode is Mode.DYNAMIC
    assert plan["output"].mode is Mode.STATIC


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bert_of_transformers_is_refused_with_a_way_out(attention: str) -> None:
    from examples.pytorch import models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what transformers and its packages warn of on import
        module = models.minilm_hf(attention)
    with pytest.raises(ModelError) as caught:
        FxAdaptor().load(ModelSource(module, example=lambda: texts()[0]))
    assert "symbolic tracing cannot carry this model" in caught.value.message
    assert ".py:" in caught.value.message
    assert "pytorch_pt2e" in (caught.value.hint or "")
