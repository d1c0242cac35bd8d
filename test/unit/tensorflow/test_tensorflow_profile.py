"""Seconds per op."""

from __future__ import annotations

import pytest
import small_tf
from tf_plans import ADAPTOR, prepared

from autoq.core.errors import DataError
from autoq.core.plan import Plan


@pytest.mark.parametrize("make", [small_tf.small_cnn, small_tf.small_transformer])
@pytest.mark.parametrize("quantized", [False, True])
def test_every_op_has_its_seconds(make, quantized: bool) -> None:
    given = prepared(make)
    costs = ADAPTOR.profile(given.candidate(given.full if quantized else Plan()), given.inputs)
    ids = {row.op.id for row in given.table if len(row.precisions) > 1}
    assert ids <= set(costs.seconds)
    assert all(costs.seconds[op] > 0 for op in ids)


def test_conversions_are_overhead() -> None:
    """A product between float ops is converted to and from; no op is charged for that."""
    given = prepared(small_tf.small_mlp)
    candidate = given.candidate(given.full)
    assert any(node.is_conversion for node in candidate.executed)
    assert ADAPTOR.profile(candidate, given.inputs).overhead > 0


def test_wrong_data_are_told_before_they_run() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(DataError):
        ADAPTOR.profile(given.candidate(), given.inputs[:, :3])
