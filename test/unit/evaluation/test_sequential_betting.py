import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.evaluation.sequential.betting import Bets, Capital

BETS = Bets(np.array([math.inf, 1.0, 0.25]), np.array([0.5, 0.3, 0.2]))

values = st.lists(st.integers(0, 8).map(lambda v: v / 8), min_size=2, max_size=5)


def capital(mean, sample, population=None, lower=0.0, bets=BETS):
    numbers = np.asarray(sample, dtype=float)
    return np.exp(Capital(mean, lower, 1.0, population or len(sample), bets).add(numbers))


@given(values)
@settings(max_examples=60)
def test_under_the_hypothesis_nobody_wins_on_average_over_all_orders(population):
    mean = sum(population) / len(population)
    paths = [capital(mean, order) for order in itertools.permutations(population)]
    assert (np.mean(paths, axis=0) <= 1 + 1e-9).all()


@given(values, st.floats(0.01, 0.5))
@settings(max_examples=60)
def test_a_hypothesis_that_is_too_large_makes_the_capital_smaller(population, more):
    mean = sum(population) / len(population)
    assert (capital(mean + more, population) <= capital(mean, population) * (1 + 1e-9)).all()


def test_the_capital_is_the_hypergeometric_odds_when_everything_is_at_stake():
    # 3 of 20 samples would have to differ, and none of the first 10 did: C(17, 10) / C(20, 10) that this happens.
    everything = Bets(np.array([math.inf]), np.array([1.0]))
    path = capital(-3 / 20, -np.zeros(10), population=20, lower=-1.0, bets=everything)
    assert path[-1] == pytest.approx(math.comb(20, 10) / math.comb(17, 10))


def test_an_impossible_hypothesis_gives_infinite_capital_for_good():
    path = capital(0.25, [1.0, 0.5, 0.0, 0.0])
    assert np.isfinite(path[0])
    assert np.isinf(path[1:]).all()


def test_where_the_hypothesis_leaves_no_room_the_expected_value_teaches_nothing():
    assert capital(0.0, [0.0, 0.0, 0.0]) == pytest.approx(1.0)
    assert np.isinf(capital(0.0, [0.0, 0.1, 0.0])).tolist() == [False, True, True]


def test_ruined_bets_stay_ruined_and_the_others_go_on():
    path = capital(0.5, [0.0, 1.0, 1.0, 1.0], population=100)
    assert 0 < path[0] < 0.5
    assert path[-1] > path[0]


def test_no_values_change_nothing():
    assert len(Capital(0.5, 0.0, 1.0, 10, BETS).add(np.empty(0))) == 0


@pytest.mark.parametrize("population", [1, 50, 300, 10_000, 1_000_000])
def test_shares_sum_to_one_and_larger_sets_get_smaller_bets(population):
    for bets in (Bets.on_small(1.0, 2.0, population), Bets.on_large(2.0, population)):
        assert bets.shares.sum() == pytest.approx(1.0)
        assert (np.diff(bets.sizes) < 0).all()
    assert Bets.on_large(2.0, 10 * population).sizes[-1] <= Bets.on_large(2.0, population).sizes[-1]


def test_where_nothing_can_be_lost_only_everything_is_bet():
    assert Bets.on_small(0.0, 1.0, 300).sizes.tolist() == [math.inf]
