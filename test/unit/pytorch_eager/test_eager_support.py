"""The capability file of the eager route."""

from __future__ import annotations

import pytest

from autoq.adaptors.pytorch_eager.capabilities import support
from autoq.adaptors.pytorch_eager.kinds import KINDS
from autoq.core.errors import ModelError
from autoq.core.precision import BF16, Mode


def test_it_speaks_of_every_kind_of_module() -> None:
    assert set(support().precisions) == {kind.name for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_it_offers_only_what_can_be_built(kind: object) -> None:
    found = next(k for k in KINDS if k is kind)
    modes = {precision.mode for precision, _ in support().precisions[found.name]}
    assert (Mode.STATIC in modes) == (found.static_class is not None)
    assert (Mode.DYNAMIC in modes) == (found.dynamic_class is not None)


def test_costs_belong_to_a_mode() -> None:
    costs = {p.label: cost for p, cost in support().precisions["Linear"]}
    assert costs["static u8s8 per_channel minmax"] == pytest.approx(0.33)
    assert costs["dynamic u8s8 per_channel"] == pytest.approx(0.34)
    assert costs[BF16.label] is None


def test_an_old_torch_is_refused() -> None:
    with pytest.raises(ModelError, match=r"torch 1\.13\.1 is too old"):
        support("1.13.1")
