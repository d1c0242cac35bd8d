import itertools

import numpy as np
import pytest
from drawn_core import int8
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import FP32
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies.fallback import CONVERSION, SHARED, Ladder, Moves


def chain(count: int) -> Space:
    rows = tuple(Capability(Op(f"op{i}", "Conv" if i % 2 else "Add"), (int8(), FP32)) for i in range(count))
    return Space.of(CapabilityTable(rows, tuple(itertools.pairwise(r.op.id for r in rows))))


def moves_of(errors: list[float], savings: list[float] | None = None) -> Moves:
    space = chain(len(errors))
    seconds = savings if savings is not None else [1.0] * len(errors)
    costs = Costs(dict(zip((u.id for u in space.units), seconds, strict=True)), {u.id: 0.0 for u in space.units})
    named = {u.id: e for u, e in zip(space.units, errors, strict=True)}
    return Moves(space, costs, named, {}, {u.id: 1 for u in space.units})


def members(*units: int) -> np.ndarray:
    return np.array(units, np.intp)


networks = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=20)


@given(networks, st.data())
def test_a_single_move_is_worth_what_the_two_states_differ_by(errors: list[float], data: st.DataObject) -> None:
    moves = moves_of(errors)
    floats = data.draw(st.lists(st.booleans(), min_size=len(errors), max_size=len(errors)))
    state = np.array(floats)
    for move in [*moves.to_float(state), *moves.to_quantized(state)]:
        to_float = not state[move.members[0]]
        assert moves.change(state, move.members, to_float) == pytest.approx((move.error, move.seconds))


@given(networks)
def test_moving_all_wins_every_error_and_loses_every_saving(errors: list[float]) -> None:
    moves = moves_of(errors)
    error, seconds = moves.change(moves.nothing(), moves.movable, True)
    assert error == pytest.approx(sum(errors))
    # Quantized to its ends the model converts twice, in float never.
    assert seconds == pytest.approx(len(errors) - 2 * CONVERSION)


@given(networks)
def test_there_and_back_cancel(errors: list[float]) -> None:
    moves = moves_of(errors)
    start = moves.nothing()
    part = moves.movable[: max(len(errors) // 2, 1)]
    there = start.copy()
    there[part] = True
    assert moves.change(start, part, True) == pytest.approx(moves.change(there, part, False))


def test_an_isolated_op_wins_only_its_own_share_and_pays_two_conversions() -> None:
    moves = moves_of([1.0] * 5)
    assert moves.change(moves.nothing(), members(2), True) == pytest.approx((1 - SHARED, 1 + 2 * CONVERSION))


def test_the_first_op_meets_the_input_which_is_float() -> None:
    moves = moves_of([1.0] * 5)
    assert moves.change(moves.nothing(), members(0), True) == pytest.approx((1 - SHARED / 2, 1.0))


def test_a_stretch_wins_more_per_second_than_its_ops_alone() -> None:
    moves = moves_of([1.0] * 8)
    together = moves.change(moves.nothing(), members(3, 4, 5), True)
    alone = moves.change(moves.nothing(), members(4), True)
    assert together[0] / together[1] > alone[0] / alone[1]


def test_one_op_far_worse_than_the_others_comes_first() -> None:
    moves = moves_of([0.1] * 5 + [9.0] + [0.1] * 5)
    assert list(moves.to_float(moves.nothing())[0].members) == [5]


def test_a_bad_stretch_comes_before_its_ops() -> None:
    moves = moves_of([0.1] * 8 + [5.0] * 4 + [0.1] * 8)
    assert list(moves.to_float(moves.nothing())[0].members) == [8, 9, 10, 11]


def test_a_quantized_island_that_saves_less_than_its_conversions_is_free_to_fall_back() -> None:
    moves = moves_of([1.0] * 5, savings=[1.0, 1.0, 0.1, 1.0, 1.0])
    state = np.array([True, True, False, True, True])
    first = moves.to_float(state)[0]
    assert list(first.members) == [2]
    assert first.seconds < 0


def test_unknown_errors_count_as_the_median() -> None:
    space = chain(4)
    errors = {"op0": 1.0, "op1": 3.0, "op2": float("nan")}
    moves = Moves(space, Costs(), errors, {}, {u.id: 1 for u in space.units})
    assert list(moves.errors) == [1.0, 3.0, 2.0, 2.0]


def test_without_any_errors_cheap_ops_fall_back_first() -> None:
    space = chain(4)
    costs = Costs({"op0": 4.0, "op1": 1.0, "op2": 3.0, "op3": 2.0}, {u.id: 0.0 for u in space.units})
    moves = Moves(space, costs, {}, {}, {u.id: 1 for u in space.units})
    assert 1 in moves.to_float(moves.nothing())[0].members


def test_units_with_nowhere_to_fall_back_to_do_not_move() -> None:
    space = chain(4)
    moves = Moves(space, Costs(), {}, {}, {"op1": 1, "op3": 1})
    assert list(moves.movable) == [1, 3]
    assert {i for m in moves.to_float(moves.nothing()) for i in m.members.tolist()} == {1, 3}


@given(networks, st.data())
def test_choices_and_state_are_inverse(errors: list[float], data: st.DataObject) -> None:
    moves = moves_of(errors)
    state = np.array(data.draw(st.lists(st.booleans(), min_size=len(errors), max_size=len(errors))))
    assert (moves.state(moves.choices(state)) == state).all()


@given(networks)
def test_greedy_steps_part_the_network(errors: list[float]) -> None:
    moves = moves_of(errors)
    steps = np.concatenate(moves.greedy(moves.nothing()))
    assert sorted(steps.tolist()) == moves.movable.tolist()


@given(networks)
def test_offers_regions_of_every_kind(errors: list[float]) -> None:
    moves = moves_of(errors)
    offered = {frozenset(m.members.tolist()) for m in moves.to_float(moves.nothing())}
    count = len(errors)
    assert {frozenset({i}) for i in range(count)} <= offered
    assert {frozenset(range(n)) for n in range(2, count)} <= offered
    assert {frozenset(range(n, count)) for n in range(1, count - 1)} <= offered


def learned(errors: list[float], truth: list[float], shared: float) -> Moves:
    """Moves that have measured every prefix, every block of three and every unit of a network of another truth."""
    moves, real = moves_of(errors), moves_of(truth)
    real.shared = shared
    count = len(errors)
    spans = [range(n) for n in range(1, count)] + [range(i, i + 3) for i in range(count - 2)]
    start = moves.nothing()
    won = [(start, members(*span), 7.0 * real.change(start, members(*span), True)[0]) for span in spans]
    alone = [(start, members(i), 7.0 * real.change(start, members(i), True)[0]) for i in range(count)]
    moves.learn([*won, *alone])
    return moves


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.8])
def test_learns_what_is_shared_with_neighbours(shared: float) -> None:
    moves = learned([1.0] * 12, [1.0] * 12, shared)
    assert moves.shared == pytest.approx(shared, abs=0.1)
    assert moves.errors == pytest.approx([1.0] * 12, rel=0.2)


def test_learns_which_unit_is_worse_than_believed() -> None:
    moves = learned([1.0] * 12, [1.0] * 5 + [9.0] + [1.0] * 6, 0.5)
    assert int(np.argmax(moves.errors)) == 5


def test_a_move_that_does_harm_makes_its_units_less_suspect() -> None:
    moves = moves_of([1.0] * 6)
    start = moves.nothing()
    moves.learn([(start, members(1), -0.5), (start, members(4), 1.0), (start, members(2), 1.0)])
    assert moves.errors[1] < moves.errors[4]


def test_nothing_is_learned_from_nothing() -> None:
    moves = moves_of([1.0, 2.0, 3.0])
    moves.learn([])
    moves.learn([(moves.nothing(), members(0), 0.0)])
    assert list(moves.errors) == [1.0, 2.0, 3.0]


def test_a_ladder_closes_gaps_of_one() -> None:
    ladder = Ladder("worst", [members(0), members(2), members(6)], close=True)
    assert list(ladder.rung(2, np.arange(8))) == [0, 1, 2]
    assert list(ladder.rung(3, np.arange(8))) == [0, 1, 2, 6]


def test_a_ladder_keeps_gaps_where_it_does_not_close() -> None:
    ladder = Ladder("parts", [members(0), members(2)])
    assert list(ladder.rung(2, np.arange(8))) == [0, 2]
