"""Names of what needs no quantization."""

import pytest

from autoq.core.capability import Recipe
from autoq.tuning.rivals import rival_name, rivals


@pytest.mark.parametrize(
    ("recipes", "name"),
    [
        (("compile",), "compiled fp32"),
        (("bf16",), "bf16"),
        (("bf16", "compile"), "compiled bf16"),
        (("eager",), "eager fp32"),
    ],
)
def test_names(recipes, name):
    assert rival_name([Recipe(r) for r in recipes]) == name


def test_rivals_are_scored_in_full_as_deployed():
    (proposal,) = rivals([(Recipe("bf16"),)])
    assert proposal.deployed
    assert proposal.samples is None
    assert proposal.plan.is_rival
