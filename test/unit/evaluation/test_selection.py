import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from autoq.core.errors import EvaluationError
from autoq.evaluation.selection import corrected


def test_one_candidate_needs_no_correction():
    assert corrected(0.95, 1) == pytest.approx(0.95)


@given(st.floats(0.5, 0.999), st.integers(1, 1000))
def test_the_errors_of_all_candidates_sum_up_to_the_error(confidence, candidates):
    level = corrected(confidence, candidates)
    assert confidence - 1e-12 <= level < 1
    assert candidates * (1 - level) == pytest.approx(1 - confidence, rel=1e-6)


def test_the_interval_of_the_best_looking_candidate_covers_only_when_it_is_corrected():
    generator = np.random.default_rng(0)
    looks = generator.normal(size=(4000, 8))
    best = looks.min(axis=1)
    covered = {
        level: float((np.abs(best) <= special.ndtri((1 + level) / 2)).mean()) for level in (0.95, corrected(0.95, 8))
    }
    assert covered[0.95] < 0.9
    assert covered[corrected(0.95, 8)] >= 0.95


def test_nonsense_is_refused():
    with pytest.raises(EvaluationError, match="at least one candidate"):
        corrected(0.95, 0)
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        corrected(1.0, 2)
