"""The default search on random toy models: never worse than the classic one, whatever the model is like."""

import numpy as np
import pytest

from autoq.core.registry import strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial
from autoq.strategies.auto import Auto
from autoq.testing.strategy_contract import best_accepted, drive
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp
from autoq.testing.toy_model import ToyVariant

TRIALS = 100


def model_of(ops: int, loss: float, seed: int, *, dynamic: bool) -> ToyModel:
    """Noise and seconds are log-normal; fully quantized, it loses `loss` limits; dynamic is slower and safer."""
    rng = np.random.default_rng([ops, seed])
    noise, seconds = rng.lognormal(0, 1.5, ops), rng.lognormal(0, 1, ops) * 1e-3
    noise *= loss / noise.sum()
    made = []
    for i in range(ops):
        safer = ToyVariant("dynamic", float(noise[i] * 0.25 * rng.lognormal(0, 0.3)), float(seconds[i] * 0.6))
        made.append(
            ToyOp(
                f"op{i}",
                type=("Conv", "MatMul", "Add")[i % 3],
                noise=float(noise[i]),
                float_seconds=float(seconds[i]),
                int8_seconds=float(seconds[i] * rng.uniform(0.2, 0.6)),
                variants=(safer,) if dynamic else (),
            )
        )
    return ToyModel(tuple(made), conversion_seconds=1e-4)


def searched(name: str, model: ToyModel) -> list[Trial]:
    costs = Costs(
        {op.id: op.float_seconds for op in model.ops}, {op.id: op.int8_seconds for op in model.ops}, 100, 0.001, True
    )
    return drive(strategy_factory(name)(Space.of(ToyAdaptor().capabilities(model)), costs, 0), model, TRIALS)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("ops", "loss"), [(8, 1.5), (10, 3.0), (13, 8.0), (17, 20.0), (22, 1.5), (28, 3.0), (34, 8.0), (40, 20.0)]
)
def test_it_never_ends_worse_than_basic(ops: int, loss: float, dynamic: bool) -> None:
    model = model_of(ops, loss, 100 + ops, dynamic=dynamic)
    mine, classic = (model.seconds(best_accepted(searched(name, model))) for name in ("auto", "basic"))
    assert mine <= 1.01 * classic


def test_it_goes_on_from_a_slow_plan_although_the_fastest_one_was_tried() -> None:
    """That the fully quantized plan is the fastest, and known, does not mean that nothing lies in between."""
    model = model_of(28, 3.0, 113, dynamic=False)
    assert any(t.proposal.note.startswith(("refinement", "integer programme")) for t in searched("auto", model))


def test_until_it_ends_it_tells_its_steps() -> None:
    model = model_of(13, 8.0, 0, dynamic=False)
    search = strategy_factory("auto")(Space.of(ToyAdaptor().capabilities(model)), Costs(samples=100), 0)
    assert isinstance(search, Auto)
    drive(search, model, 15)
    assert "regions in float were screened" in search.explanation
    assert "plans tried" in search.explanation
