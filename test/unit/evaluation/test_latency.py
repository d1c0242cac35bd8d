import gc

import pytest

from autoq.core.errors import EvaluationError
from autoq.evaluation.latency import RESOLVED, SETTLING, interleave


class FakeMachine:
    """A clock that only the runs move, with drift common to all of them."""

    def __init__(self, drift=0.0):
        self.now = 0.0
        self.drift = drift
        self.calls = []

    def clock(self):
        return self.now

    def run(self, name, seconds):
        def call():
            self.calls.append(name)
            self.now += seconds * (1 + self.drift * self.now)

        return call


def measure(machine, runs, **options):
    options = {"warmup": 2, "rounds": 30, **options}
    made = {name: machine.run(name, seconds) for name, seconds in runs.items()}
    return interleave(made, "fp32", clock=machine.clock, **options)


def test_ratios_are_relative_to_the_reference():
    found = measure(FakeMachine(), {"fp32": 0.01, "int8": 0.004, "bf16": 0.02})
    assert found["int8"].ratio.value == pytest.approx(0.4)
    assert found["bf16"].ratio.value == pytest.approx(2.0)
    assert found["int8"].seconds == pytest.approx(0.004)
    assert found["int8"].reference_seconds == pytest.approx(0.01)
    assert (found["fp32"].ratio.low, found["fp32"].ratio.value, found["fp32"].ratio.high) == (1, 1, 1)


def test_drift_of_the_machine_does_not_bias_the_ratio():
    found = measure(FakeMachine(drift=0.5), {"fp32": 0.01, "int8": 0.005}, rounds=200)
    assert found["int8"].ratio.value == pytest.approx(0.5, rel=0.01)
    assert found["int8"].seconds > 0.006


def test_every_round_runs_every_model_in_changing_order():
    machine = FakeMachine()
    measure(machine, {"fp32": 0.01, "a": 0.01, "b": 0.01}, rounds=40)
    timed = machine.calls[-240:][1::2]
    rounds = [tuple(timed[i : i + 3]) for i in range(0, 120, 3)]
    assert all(set(r) == {"fp32", "a", "b"} for r in rounds)
    assert len(set(rounds)) == 6


class Cached(FakeMachine):
    """A machine on which a model is slow unless it ran last, whose weights another drove out of the cache."""

    def run(self, name, seconds):
        def call():
            self.now += seconds * (1 if self.calls and self.calls[-1] == name else 1.5)
            self.calls.append(name)

        return call


def test_a_model_is_timed_with_its_own_weights_in_the_cache():
    found = measure(Cached(), {"fp32": 0.01, "int8": 0.004})
    assert found["int8"].seconds == pytest.approx(0.004)
    assert found["fp32"].seconds == pytest.approx(0.01)


def test_long_runs_are_timed_at_once():
    machine = FakeMachine()
    measure(machine, {"fp32": 1.1 * SETTLING, "a": SETTLING}, rounds=10, warmup=0)
    assert machine.calls.count("fp32") == 3 + 10
    assert machine.calls.count("a") == 3 + 2 * 10


def test_the_seed_fixes_the_order():
    orders = []
    for seed in (1, 1, 2):
        machine = FakeMachine()
        measure(machine, {"fp32": 0.01, "a": 0.01}, seed=seed)
        orders.append(machine.calls)
    assert orders[0] == orders[1] != orders[2]


def test_a_settled_ratio_ends_the_measurement_after_the_least_rounds():
    found = measure(FakeMachine(), {"fp32": 0.01, "a": 0.02}, rounds=500, min_rounds=12, precision=0.01)
    assert found["a"].rounds == 12


def test_an_unsettled_ratio_uses_all_rounds():
    machine = FakeMachine()
    state = {"n": 0}

    def noisy():
        state["n"] += 1
        machine.now += 0.01 * (1 + state["n"] % 7)

    runs = {"fp32": machine.run("fp32", 0.01), "noisy": noisy}
    found = interleave(runs, "fp32", warmup=0, rounds=60, precision=0.001, clock=machine.clock)
    assert found["noisy"].rounds == 60


def test_time_ends_the_measurement_but_never_before_one_round():
    assert measure(FakeMachine(), {"fp32": 1.0, "a": 1.0}, seconds=25.0, rounds=100)["a"].rounds < 20
    assert measure(FakeMachine(), {"fp32": 1.0, "a": 1.0}, seconds=0.5)["a"].rounds == 1


def test_time_does_not_end_the_measurement_before_there_is_an_interval():
    found = measure(FakeMachine(), {"fp32": 1.0, "a": 2.0}, seconds=0.5, least_rounds=6)["a"]
    assert found.rounds == 6
    assert found.ratio.confidence == 0.95


def test_short_runs_are_repeated_until_the_clock_resolves_them():
    machine = FakeMachine()
    found = measure(machine, {"fp32": 1e-4, "a": RESOLVED}, rounds=5, warmup=0)
    per_round = (machine.calls.count("fp32") - 3) / 5 - 1
    assert per_round == pytest.approx(10, abs=1)
    assert found["a"].ratio.value == pytest.approx(10)


def test_garbage_collection_pauses_while_a_round_runs():
    seen = []
    interleave({"fp32": lambda: seen.append(gc.isenabled())}, "fp32", warmup=0, rounds=1)
    assert seen[-1] is False
    assert gc.isenabled()


def test_a_real_clock_measures_real_work():
    runs = {"fp32": lambda: sum(range(4000)), "a": lambda: sum(range(40000))}
    found = interleave(runs, "fp32", warmup=1, rounds=6)
    assert found["a"].ratio.value > 2
    assert found["a"].rounds == 6


def test_the_reference_must_run_too():
    with pytest.raises(EvaluationError, match="'fp32' is not among the runs: a"):
        interleave({"a": lambda: None}, "fp32", warmup=0, rounds=1)
    with pytest.raises(EvaluationError, match="at least one round"):
        interleave({"fp32": lambda: None}, "fp32", warmup=0, rounds=0)
