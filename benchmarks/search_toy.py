"""How good strategies are on a synthetic problem whose answer costs nothing to compute.

``python -m benchmarks.search_toy [--strategies bayesian tpe] [--ops 50 150 300] [--seeds 3] [--trials 100]``

The generator. A chain of ops with four precisions each: static per channel, static per tensor, dynamic, float.
Seconds in float are log-normal(0, 1); the other precisions take .28, .25 and .5 of them, each times
log-normal(0, .1). An op's noise is log-normal(0, 1.5) per channel, times 4 per tensor, times .25 dynamic, each
times log-normal(0, .5); float has none. Noises add up, and are scaled so that all ops per channel lose three
times the limit. A change between float and quantized along the chain costs a twentieth of the mean op. What a
strategy finds out about the sensitivity of an op is its noise times log-normal(0, .5), and the profiler's
seconds are those of the per-channel model. At the limit, outputs diverge from fp32's by 2 %.
Every inquiry is answered alike, whatever it needs.

Figures are the speed-up over float of the fastest plan that kept the limit, by the number of trials.

The reference lines are plain methods written out here: uniform sampling; ops to float, one by one, noisiest first;
Optuna's TPE over all ops, cold and after six uniform plans; and TPE over three cut points in the order of
sensitivity per saved second, which split the ops into four stretches from the fastest precision to float.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoq.core.inquiry import Findings, Inquiry
from autoq.core.plan import FP32_PLAN, Done, Plan, Proposal
from autoq.core.registry import STRATEGIES, strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.testing.strategy_contract import LIMIT, toy_trial
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp
from autoq.testing.toy_model import INT8, VARIANTS, ToyVariant
from benchmarks.common import Cell, print_table, write_results

PER_TENSOR, PER_CHANNEL, DYNAMIC = VARIANTS["per_tensor"], INT8, VARIANTS["dynamic"]
LADDER = (PER_TENSOR, PER_CHANNEL, DYNAMIC)
"""Quantized precisions from the fastest to the most accurate."""

_SPEED = {"per_channel": 0.28, "per_tensor": 0.25, "dynamic": 0.5}
_NOISE = {"per_channel": 1.0, "per_tensor": 4.0, "dynamic": 0.25}
_LOSS = 3.0
_DIVERGENCE = 0.02
_NOT_SEARCHED = ("exhaustive",)

Choose = Callable[["World", int, int], list[float]]
"""World, seed and number of trials → best feasible speed-up after each trial."""


@dataclass(frozen=True)
class World:
    """A toy model and what can be found out about it without a trial."""

    model: ToyModel
    space: Space
    costs: Costs
    sensitivity: Mapping[str, float]

    def speed_up(self, plan: Plan) -> float:
        """Over float; 0 where the limit is broken."""
        if self.model.noise(plan) > LIMIT:
            return 0.0
        return self.model.seconds(FP32_PLAN) / self.model.seconds(plan)

    def ranking(self) -> list[str]:
        """Ops by sensitivity per saved second, least first."""
        saved = {u.id: max(self.costs.saving(u), 1e-9) for u in self.space.units}
        return sorted(saved, key=lambda op: self.sensitivity[op] / saved[op])


def generate(ops: int, seed: int) -> World:
    """The problem of the module's docstring."""
    rng = np.random.default_rng([ops, seed])
    seconds = rng.lognormal(0.0, 1.0, ops) * 1e-3
    noise = rng.lognormal(0.0, 1.5, ops)
    relative = {name: share * rng.lognormal(0.0, 0.1, ops) for name, share in _SPEED.items()}
    factor = {name: share * rng.lognormal(0.0, 0.5, ops) for name, share in _NOISE.items()}
    scale = _LOSS * LIMIT / float((noise * factor["per_channel"]).sum())
    made = []
    for i in range(ops):
        time_of = {name: float(seconds[i] * share[i]) for name, share in relative.items()}
        noise_of = {name: float(scale * noise[i] * share[i]) for name, share in factor.items()}
        variants = tuple(ToyVariant(name, noise_of[name], time_of[name]) for name in VARIANTS)
        made.append(
            ToyOp(
                f"op{i}",
                noise=noise_of["per_channel"],
                float_seconds=float(seconds[i]),
                int8_seconds=time_of["per_channel"],
                variants=variants,
            )
        )
    model = ToyModel(tuple(made), conversion_seconds=0.05 * float(seconds.mean()))
    costs = Costs(
        {op.id: op.float_seconds for op in model.ops}, {op.id: op.int8_seconds for op in model.ops}, 1000, 0.01, True
    )
    errors = rng.lognormal(0.0, 0.5, ops)
    sensitivity = {op.id: float(op.noise * errors[i]) for i, op in enumerate(model.ops)}
    return World(model, Space.of(ToyAdaptor().capabilities(model)), costs, sensitivity)


def searched(name: str) -> Choose:
    """A registered strategy."""

    def choose(world: World, seed: int, trials: int) -> list[float]:
        strategy = strategy_factory(name)(world.space, world.costs, seed)
        strategy.tell(toy_trial(world.model, 0, Proposal(FP32_PLAN), 1000))
        found = [1.0]
        while len(found) <= trials:
            asked = strategy.ask()
            if isinstance(asked, Inquiry):
                strategy.tell(_answer(world, asked))
            elif isinstance(asked, Proposal):
                trial = toy_trial(world.model, len(found), asked, 1000)
                strategy.tell(trial.with_(divergence=_DIVERGENCE * world.model.noise(asked.plan)))
                found.append(max(found[-1], world.speed_up(asked.plan)))
            elif isinstance(asked, Done):
                break
        return found[1:]

    return choose


def _answer(world: World, asked: Inquiry) -> Findings:
    """An op's noise in the precision asked for, with the same relative error in each."""
    values = {}
    for op in world.model.ops:
        if not asked.plan[op.id].is_float:
            values[op.id] = _DIVERGENCE * world.sensitivity[op.id] * op.noise_in(asked.plan[op.id]) / op.noise
    return Findings(asked, values)


def uniform_draws(world: World, seed: int, trials: int) -> list[float]:
    """Every op's precision uniformly at random."""
    rng = np.random.default_rng(seed)
    return _best_of(
        world,
        [
            world.space.plan({u.id: int(rng.integers(len(u.precisions))) for u in world.space.units})
            for _ in range(trials)
        ],
    )


def greedy(world: World, seed: int, trials: int) -> list[float]:
    """All per channel, then one op after the other to float, most sensitive first."""
    del seed
    order = sorted(world.sensitivity, key=lambda op: -world.sensitivity[op])
    quantized = {op.id: INT8 for op in world.model.ops}
    plans = []
    for op in [None, *order[: trials - 1]]:
        if op is not None:
            del quantized[op]
        plans.append(Plan(quantized))
    return _best_of(world, plans)


def cut_points(world: World, seed: int, trials: int) -> list[float]:
    """TPE over three cut points in the order of sensitivity per saved second."""
    order = world.ranking()

    def plan(suggest: Callable[[str, int], float]) -> Plan:
        cuts = sorted(round(suggest(f"cut {i}", 0) * len(order)) for i in range(len(LADDER)))
        stretches = zip([0, *cuts], cuts, LADDER, strict=False)
        return Plan({op: precision for a, b, precision in stretches for op in order[a:b]})

    return _optuna(world, seed, trials, plan, continuous=True)


def tpe_cold(world: World, seed: int, trials: int) -> list[float]:
    """TPE over the precision of every op."""
    return _optuna(world, seed, trials, _per_op(world), continuous=False)


def tpe_seeded(world: World, seed: int, trials: int) -> list[float]:
    """The same after six plans: all in one precision, and the worst third and half of the ops in float."""
    order = world.ranking()
    starts: list[dict[str, int]] = [{u.id: level for u in world.space.units} for level in range(4)]
    starts += [{op: 3 if i > share * len(order) else 0 for i, op in enumerate(order)} for share in (2 / 3, 1 / 2)]
    return _optuna(world, seed, trials, _per_op(world), continuous=False, starts=starts)


def _per_op(world: World) -> Callable[[Callable[[str, int], float]], Plan]:
    def plan(suggest: Callable[[str, int], float]) -> Plan:
        return world.space.plan({u.id: int(suggest(u.id, len(u.precisions))) for u in world.space.units})

    return plan


def _optuna(
    world: World,
    seed: int,
    trials: int,
    plan: Callable[[Callable[[str, int], float]], Plan],
    *,
    continuous: bool,
    starts: Sequence[Mapping[str, int]] = (),
) -> list[float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for start in starts:
        study.enqueue_trial(dict(start))
    plans = []
    for _ in range(trials):
        trial = study.ask()

        def suggest(name: str, count: int, trial: optuna.Trial = trial) -> float:
            if continuous:
                return trial.suggest_float(name, 0.0, 1.0)
            return float(trial.suggest_categorical(name, list(range(count))))

        plans.append(plan(suggest))
        trial.set_constraint("loss", world.model.noise(plans[-1]) - LIMIT)
        study.tell(trial, world.model.seconds(plans[-1]) / world.model.seconds(FP32_PLAN))
    return _best_of(world, plans)


def _best_of(world: World, plans: Sequence[Plan]) -> list[float]:
    found = [1.0]
    for plan in plans:
        found.append(max(found[-1], world.speed_up(plan)))
    return found[1:]


REFERENCES: Mapping[str, Choose] = {
    "uniform draws": uniform_draws,
    "greedy to float": greedy,
    "TPE per op, cold": tpe_cold,
    "TPE per op, 6 seeded": tpe_seeded,
    "TPE, 3 cut points": cut_points,
}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description="Strategies on a synthetic problem.")
    known = [name for name in STRATEGIES if name not in _NOT_SEARCHED]
    parser.add_argument("--strategies", nargs="*", default=known, choices=known, help="which; all by default")
    parser.add_argument("--ops", nargs="+", type=int, default=[50, 150, 300])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--no-references", action="store_true", help="leave the reference lines out")
    given = parser.parse_args()
    methods = {} if given.no_references else {f"reference: {name}": way for name, way in REFERENCES.items()}
    methods |= {name: searched(name) for name in given.strategies}
    rows: list[dict[str, Cell]] = []
    for name, choose in methods.items():
        row: dict[str, Cell] = {"method": name}
        for ops in given.ops:
            started = time.process_time()
            runs = [choose(generate(ops, seed), seed, given.trials) for seed in range(given.seeds)]
            spent = (time.process_time() - started) / sum(len(run) for run in runs)
            row[f"{ops} ops"] = statistics.mean(run[-1] for run in runs)
            row[f"lowest of {ops}"] = min(run[-1] for run in runs)
            row[f"{ops} after {given.trials // 3}"] = statistics.mean(
                run[min(given.trials // 3, len(run)) - 1] for run in runs
            )
            row[f"{ops} trials"] = statistics.mean(len(run) for run in runs)
            row[f"{ops} ms/trial"] = 1e3 * spent
        rows.append(row)
        print(row, flush=True)
    print_table(f"Feasible speed-up after {given.trials} trials, mean of {given.seeds} seeds", rows)
    print(f"\n{write_results('search_toy', rows)}")


if __name__ == "__main__":
    main()
