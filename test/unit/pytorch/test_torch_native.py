"""What a user holds of a saved or captured model: called as the original, returning what the original returns."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from small_torch import FACTORIES, batches_for, inputs_for, untraceable
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from autoq.adaptors.pytorch import artifact
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.floats import BF16, float_candidate
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import load
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch.structure import structure_of, structured
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.errors import DataError, TrialError, UnsupportedError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.registry import make_adaptor
from autoq.core.space import Space

OPTIONS = RunOptions(1)
X = torch.linspace(-1, 1, 32).reshape(2, 16)
Pair = namedtuple("Pair", "low high")


@dataclass
class Named:
    low: torch.Tensor
    high: torch.Tensor | None = None


class Gives(nn.Module):
    """Two results in a structure of its own."""

    def __init__(self, form):
        super().__init__()
        self.fc = nn.Linear(16, 4)
        self.form = form

    def forward(self, x):
        y = self.fc(x)
        return self.form(y, y + 1)


def saved(module, inputs, folder):
    candidate = float_candidate(load(ModelSource(module, example=lambda: inputs)), FP32_PLAN, OPTIONS)
    return artifact.load_artifact(artifact.save(candidate, folder, "pytorch_eager").folder, OPTIONS)


def assert_equal_trees(found, expected):
    if expected is None:
        assert found is None
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal_trees(found[key], value)
    else:
        assert isinstance(found, tuple if isinstance(expected, tuple) else list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal_trees(one, other)


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: a,
        lambda a, b: (a, b),
        lambda a, b: (a,),
        lambda a, b: [a, b],
        lambda a, b: {"low": a, "high": b},
        lambda a, b: {0: a, "pool": b},
        lambda a, b: (a, None, [b, {"last": (a, b)}]),
        lambda a, b: {"output": a},
    ],
)
def test_a_saved_model_returns_what_the_original_returns(form, tmp_path):
    module = Gives(form).eval()
    loaded = saved(module, X.numpy(), tmp_path)
    with torch.no_grad():
        expected = module(X)
        assert_equal_trees(loaded.native(X), expected)
        assert_equal_trees(loaded.native(x=X[:1]), module(X[:1]))
    predicted = loaded.predict(X.numpy())
    assert [a.tolist() for a in predicted.values()] == [t.tolist() for t in flatten(expected).values()]


def test_named_tuples_keep_their_fields(tmp_path):
    held = saved(Gives(Pair).eval(), X.numpy(), tmp_path).native(X)
    low, high = held
    assert held.low is low
    assert held.high is high


@pytest.mark.parametrize("form", [Named, lambda a, b: BaseModelOutput(last_hidden_state=a)])
def test_dataclasses_and_model_outputs_become_dicts_with_attributes(form, tmp_path):
    module = Gives(form).eval()
    held = saved(module, X.numpy(), tmp_path).native(X)
    first = next(iter(held))
    with torch.no_grad():
        assert torch.equal(held[first], getattr(module(X), first))
    assert getattr(held, first) is held[first]
    with pytest.raises(AttributeError, match=f"no output 'logits'; it has: {first}"):
        _ = held.logits


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_native_and_predict_agree_bit_by_bit(name, tmp_path):
    inputs = inputs_for(name, 3)
    loaded = saved(FACTORIES[name](), inputs, tmp_path)
    tensors = loaded.signature.tensors(inputs)
    found = flatten(loaded.native(*tensors))
    predicted = loaded.predict(inputs)
    assert list(found) == list(predicted)
    assert all(np.array_equal(found[key].numpy(), predicted[key]) for key in predicted)


def test_control_flow_goes_on_in_what_is_held(tmp_path):
    module, x = untraceable(), torch.from_numpy(inputs_for("untraceable"))
    native = saved(module, x.numpy(), tmp_path).native
    with torch.no_grad():
        for batch in (x / 10, x * 10):
            assert torch.equal(native(batch), module(batch))


def test_a_program_can_be_held(tmp_path):
    # As a compiled model where there is no compiler.
    model = load(ModelSource(FACTORIES["small_mlp"](), example=lambda: inputs_for("small_mlp")))
    candidate = float_candidate(model, FP32_PLAN, OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "_SCRIPTS", ((("trace"), _refused),))
        artifact.save(candidate, tmp_path, "pytorch_eager")
    loaded = artifact.load_artifact(tmp_path, OPTIONS)
    assert loaded.native.eval() is loaded.native
    assert np.array_equal(loaded.native(X).numpy(), loaded.predict(X.numpy())["output"])


def _refused(flat, example):
    raise TrialError("no trace")


class Optional(nn.Module):
    def forward(self, a, b=None, c=None):
        return a if c is None else a + c


def test_inputs_behind_a_gap_go_by_name(tmp_path):
    native = saved(Optional().eval(), {"a": X.numpy(), "c": X.numpy()}, tmp_path).native
    assert torch.equal(native(X, c=X), 2 * X)
    assert torch.equal(native(X, None, c=X), 2 * X)
    assert torch.equal(native(X, b=None, c=X), 2 * X)
    with pytest.raises(DataError, match="takes 1 arguments by position, and was given 3"):
        native(X, None, X)
    with pytest.raises(DataError, match="needs an input 'c'"):
        native(X)
    with pytest.raises(DataError, match="does not take an input 'b'"):
        native(X, b=X, c=X)
    with pytest.raises(DataError, match="'a' is given twice"):
        native(X, a=X, c=X)


def test_only_inference(tmp_path):
    native = saved(FACTORIES["small_mlp"](), inputs_for("small_mlp"), tmp_path).native
    assert not native(X.requires_grad_(False)).requires_grad
    assert not native.eval().training
    assert not any(module.training for module in native.modules())
    with pytest.raises(UnsupportedError, match="only infers"):
        native.train()


@pytest.mark.parametrize("route", ["pytorch_eager", "pytorch_fx", "pytorch_pt2e"])
def test_an_evaluation_function_is_given_a_model_like_the_users(route):
    adaptor, batches = make_adaptor(route), batches_for("small_mlp", 1)
    model = adaptor.load(ModelSource(FACTORIES["small_mlp"](), example=lambda: batches[0].inputs))
    table = adaptor.capabilities(model)
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    for plan in (FP32_PLAN, Space.of(table).full_plan()):
        candidate = adaptor.apply(model, plan, calibration, OPTIONS)
        with torch.no_grad():
            found = candidate.native(X)
        assert np.array_equal(found.numpy(), candidate.predict(X.numpy())["output"])


def test_a_structure_that_does_not_fit_is_told():
    structure = structure_of((X, X))
    with pytest.raises(TrialError, match="1 tensors, fewer than"):
        structured(structure, (X,))
    with pytest.raises(TrialError, match="3 tensors, more than"):
        structured(structure, (X, X, X))


def test_the_structure_has_the_order_of_the_flat_outputs():
    raw = {"b": (X, None), "a": Named(X + 1, X + 2), "n": Pair(X + 3, X + 4)}
    with guarded():
        flat = Flat(nn.Identity(), load(ModelSource(FACTORIES["small_mlp"](), example=lambda: X.numpy())).signature)
        flat.model.forward = lambda x: raw
        nested = structured(structure_of(raw), flat(X))
    assert torch.equal(nested.b[0], X)
    assert nested.b[1] is None
    assert torch.equal(nested.a.high, X + 2)
    assert torch.equal(nested.n.high, X + 4)


@pytest.mark.parametrize("form", [lambda a, b: a, Pair, lambda a, b: BaseModelOutput(last_hidden_state=a)])
def test_a_bfloat16_model_is_held_as_one_that_gives_float32(form):
    # NumPy knows no bfloat16: an evaluation function that converts would fail.
    model = load(ModelSource(Gives(form).eval(), example=lambda: X.numpy()))
    candidate = float_candidate(model, Plan({}, (BF16,)), OPTIONS)
    with torch.no_grad():
        held, expected = candidate.native(X), model.module(X)
    assert type(held) is type(expected)
    assert {name: t.dtype for name, t in flatten(held).items()} == dict.fromkeys(flatten(expected), torch.float32)
