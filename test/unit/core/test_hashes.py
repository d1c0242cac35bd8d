"""Core values can be set members and dictionary keys."""

from autoq.core.adaptor import ModelSource
from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp


def test_equal_values_hash_alike():
    model = ToyModel((ToyOp("a"), ToyOp("b")))
    table = ToyAdaptor().capabilities(model)
    for make in (
        lambda: Space.of(table),
        lambda: table,
        lambda: Proposal(Plan()),
        lambda: Trial(1, Proposal(Plan()), TrialState.COMPLETE, seconds={"build": 1.0}),
        lambda: Costs({"a": 1.0}, {"a": 0.5}),
        lambda: ModelSource("model.onnx", options={"a": 1}),
    ):
        assert len({make(), make()}) == 1
