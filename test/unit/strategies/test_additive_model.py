"""A model that is told trials of an additive world learns that world."""

import itertools

import numpy as np
import pytest
from drawn_core import int8
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.interval import Interval
from autoq.core.objective import Quantity
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.precision import FP32
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Failure, FailureKind, Latency, MetricScore, Trial, TrialState
from autoq.strategies.additive import AdditiveModel

OPS = 8
LIMIT = 0.02


def space_of(ops: int = OPS) -> Space:
    rows = tuple(Capability(Op(f"op{i}", "Conv"), (int8(), FP32)) for i in range(ops))
    return Space.of(CapabilityTable(rows, tuple((f"op{i}", f"op{i + 1}") for i in range(ops - 1))))


class World:
    """Divergence and cost that are additive, with conversions; excess is linear in divergence."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.space = space_of()
        self.noise = {f"op{i}": float(n) for i, n in enumerate(rng.lognormal(-6, 1, OPS))}
        self.saving = {f"op{i}": float(s) for i, s in enumerate(rng.uniform(0.02, 0.1, OPS))}
        self.conversion = 0.01

    def costs(self) -> Costs:
        return Costs(dict.fromkeys(self.saving, 0.1), {u: 0.1 - 0.5 * s for u, s in self.saving.items()}, 100, 0.001)

    def divergence(self, plan: Plan) -> float:
        return sum(self.noise[op] for op in plan)

    def cost(self, plan: Plan) -> float:
        states = [False, *(not plan[f"op{i}"].is_float for i in range(OPS)), False]
        changes = sum(a != b for a, b in itertools.pairwise(states))
        return 1 - sum(self.saving[op] for op in plan) + self.conversion * changes

    def trial(self, number: int, plan: Plan, *, estimated: bool = False, **changes: object) -> Trial:
        loss, cost = self.divergence(plan), self.cost(plan)
        score = MetricScore("top1", 0.0, 0.0, Interval(loss, loss, loss), LIMIT, loss <= LIMIT, 100)
        latency = Latency(cost, 1.0, Interval(cost, cost, cost), 10, estimated)
        trial = Trial(number, Proposal(plan), TrialState.COMPLETE, (score,), latency, 1000, objective=cost, full=True)
        return trial.with_(**{"divergence": loss, **changes})


def choices_of(bits: int) -> dict[str, int]:
    return {f"op{i}": bits >> i & 1 for i in range(OPS)}


def told(world: World, model: AdditiveModel, count: int, seed: int = 1, **changes: object) -> None:
    model.tell(world.trial(0, FP32_PLAN))
    for number, bits in enumerate(np.random.default_rng(seed).choice(2**OPS - 1, count, replace=False).tolist(), 1):
        model.tell(world.trial(number, world.space.plan(choices_of(bits)), **changes))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 2**OPS - 1))
def test_it_predicts_an_additive_world(seed: int, bits: int) -> None:
    world = World(seed)
    model = AdditiveModel(world.space, world.costs(), {})
    told(world, model, 40)
    plan = world.space.plan(choices_of(bits))
    expected = model.predict(choices_of(bits))
    assert expected.cost == pytest.approx(world.cost(plan), abs=0.01)
    assert expected.divergence == pytest.approx(world.divergence(plan), abs=0.05 * sum(world.noise.values()))


def test_sensitivities_alone_predict_divergence() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    assert model.predict({}).divergence == pytest.approx(sum(world.noise.values()))


def test_a_measured_plan_corrects_its_scale() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), {u: 0.2 * n for u, n in world.noise.items()})
    model.tell(world.trial(1, world.space.full_plan()))
    half = dict.fromkeys(list(world.noise)[:4], 1)
    plan = world.space.plan(half)
    assert model.predict(half).divergence == pytest.approx(world.divergence(plan), rel=0.1)


def test_doubt_falls_with_what_was_measured() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    before = model.predict(choices_of(0b101))
    told(world, model, 10)
    after = model.predict(choices_of(0b101))
    assert (after.sd < before.sd, after.cost_sd < before.cost_sd) == (True, True)


def test_an_estimated_latency_says_nothing_of_cost() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    before = model.predict({}).cost
    model.tell(world.trial(1, world.space.full_plan(), estimated=True))
    assert model.predict({}).cost == before


def test_a_failed_trial_says_nothing() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    before = model.predict({})
    failure = Failure(FailureKind.CRASH, "killed")
    model.tell(Trial(1, Proposal(world.space.full_plan()), TrialState.CRASHED, failure=failure))
    assert model.predict({}) == before


def test_the_probability_of_keeping_the_limit_falls_with_divergence() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    told(world, model, 20)
    ordered = sorted(range(2**OPS), key=lambda bits: model.predict(choices_of(bits)).divergence)
    kept = [model.predict(choices_of(bits)).kept for bits in (ordered[1], ordered[-1])]
    assert kept[0] > kept[1]


def test_without_divergences_the_loss_is_what_adds_up() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), {})
    told(world, model, 40, divergence=None)
    plan = world.space.plan(choices_of(0b110))
    assert model.predict(choices_of(0b110)).excess == pytest.approx(world.divergence(plan) / LIMIT - 1, abs=0.1)


def test_trials_under_other_recipes_do_not_change_the_effects() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise, (Recipe("bf16"),))
    before = model.predict({}).cost
    model.tell(world.trial(1, world.space.full_plan()))
    assert model.predict({}).cost == before


def test_unit_effects_name_every_precision() -> None:
    world = World()
    effects = AdditiveModel(world.space, world.costs(), world.noise).unit_effects()
    assert effects["op3"].divergence == pytest.approx((world.noise["op3"], 0.0))


def test_sizes_are_learned_from_trials() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), {}, quantities=(Quantity.SIZE,))
    model.tell(world.trial(0, FP32_PLAN).with_(size_bytes=8000))
    for number, bits in enumerate(range(1, 40), 1):
        plan = world.space.plan(choices_of(bits))
        model.tell(world.trial(number, plan).with_(size_bytes=8000 - 500 * len(plan)))
    effects = model.quantity(Quantity.SIZE)
    row = model.layout.encode(choices_of(0b1111))
    assert 1 + effects.of(row) == pytest.approx(1 - 4 * 500 / 8000, abs=0.01)


def test_draws_agree_with_what_was_measured() -> None:
    world = World()
    model = AdditiveModel(world.space, world.costs(), world.noise)
    told(world, model, 40)
    row = model.layout.encode({})
    random = np.random.default_rng(0)
    drawn = [1 + model.sample(random)[0].of(row) for _ in range(50)]
    assert np.mean(drawn) == pytest.approx(world.cost(world.space.full_plan()), abs=0.02)
