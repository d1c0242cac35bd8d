"""Sums of squared differences, relative to the output."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.calibration.output_error import OutputErrors

_NUMBERS = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=30)


@given(_NUMBERS, st.integers(0, 30))
def test_parts_add_up_to_the_whole(pairs: list[tuple[float, float]], cut: int) -> None:
    y, q = np.array(pairs).T
    whole, parts = OutputErrors(), OutputErrors()
    whole.add("op", float(np.sum((y - q) ** 2)), float(np.sum(y**2)))
    for part in (slice(None, cut), slice(cut, None)):
        parts.add("op", float(np.sum((y[part] - q[part]) ** 2)), float(np.sum(y[part] ** 2)))
    assert parts.relative() == pytest.approx(whole.relative(), rel=1e-9)


@given(_NUMBERS, st.floats(0.01, 100))
def test_scale_of_an_output_does_not_matter(pairs: list[tuple[float, float]], scale: float) -> None:
    y, q = np.array([*pairs, (1.0, 0.5)]).T
    energy = float(np.sum(y**2))
    errors = OutputErrors()
    errors.add("as it is", float(np.sum((y - q) ** 2)), energy)
    errors.add("scaled", float(np.sum((scale * y - scale * q) ** 2)), scale**2 * energy)
    found = errors.relative()
    assert found["scaled"] == pytest.approx(found["as it is"], rel=1e-6)


@pytest.mark.parametrize(
    ("difference", "energy"), [(0.0, 0.0), (1.0, 0.0), (np.inf, 1.0), (np.nan, 1.0), (1.0, np.inf)]
)
def test_outputs_that_say_nothing_are_left_out(difference: float, energy: float) -> None:
    errors = OutputErrors()
    errors.add("dead", difference, energy)
    errors.add("alive", 1.0, 4.0)
    assert errors.relative() == {"alive": 0.25}
