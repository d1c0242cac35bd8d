"""What eager quantization makes of structures that need care: what is fused, shared, excluded or kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_eager import capabilities
from autoq.adaptors.pytorch_eager.adaptor import EagerAdaptor
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.adaptors.pytorch_eager.fusion import Activation
from autoq.adaptors.pytorch_eager.leaves import StaticLeaf
from autoq.core.adaptor import Candidate, ModelSource, RunOptions
from autoq.core.batch import Batch, Inputs
from autoq.core.capability import CapabilityTable
from autoq.core.errors import ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import BF16, Mode
from autoq.core.space import Space, SpaceRules
from autoq.core.statistics import Calibration

_ADAPTOR = EagerAdaptor()
_STATIC = SpaceRules(modes=(Mode.STATIC,))
_DYNAMIC = SpaceRules(modes=(Mode.DYNAMIC,))


class Prepared:
    """A model with its table and statistics."""

    def __init__(self, module: nn.Module, *batches: Inputs) -> None:
        self.module = module.eval()
        self.batches = [Batch(b, None, 2) for b in batches]
        self.model: TorchModel = _ADAPTOR.load(ModelSource(self.module, example=lambda: batches[0]))
        self.table: CapabilityTable = _ADAPTOR.capabilities(self.model)
        self.calibration: Calibration = _ADAPTOR.calibrate(
            self.model, self.batches, _ADAPTOR.needs(self.model, self.table)
        )

    def full(self, rules: SpaceRules = _STATIC) -> Candidate:
        return self.apply(Space.of(self.table, rules).full_plan())

    def apply(self, plan: Plan) -> Candidate:
        return _ADAPTOR.apply(self.model, plan, self.calibration, RunOptions())

    def sqnr(self, candidate: Candidate) -> float:
        """Signal to quantization noise in dB, the worst of all outputs."""
        wanted = _ADAPTOR.apply(self.model, FP32_PLAN, None, RunOptions()).predict(self.batches[0].inputs)
        found = candidate.predict(self.batches[0].inputs)
        return min(
            float(10 * np.log10((a**2).sum() / max(((a - found[name]) ** 2).sum(), 1e-30)))
            for name, a in wanted.items()
        )


def _images(channels: int = 3, side: int = 12, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(2, channels, side, side)).astype(np.float32)


class Net(nn.Module):
    """Modules by name, and a forward that is a function of them."""

    def __init__(self, forward: Any, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)


def _op(prepared: Prepared, name: str) -> Any:
    return base_of(prepared.model).fusion.ops[name]


# -- fusion ------------------------------------------------------------------------------------------------------------


def test_conv_norm_relu_is_one_op() -> None:
    prepared = Prepared(small_torch.small_cnn(), *(small_torch.inputs_for("small_cnn", 2, s) for s in range(2)))
    op = _op(prepared, "conv1")
    assert (op.norm, op.activation, op.spare) == ("bn1", Activation.RELU, "relu")


def test_a_norm_that_reads_something_else_too_is_not_folded() -> None:
    net = Net(lambda m, x: m.norm(m.conv(x)) + m.conv(x), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4))
    assert _op(Prepared(net, _images()), "conv").norm is None


def test_a_norm_whose_input_is_used_again_is_not_folded() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.norm(y) + y

    net = Net(forward, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4))
    prepared = Prepared(net, _images())
    assert _op(prepared, "conv").norm is None
    assert prepared.sqnr(prepared.full()) > 25


def test_a_norm_without_running_statistics_is_not_folded() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert _op(Prepared(net, _images()), "0").norm is None


def test_a_shared_relu_is_fused_and_stays() -> None:
    net = Net(
        lambda m, x: m.relu(m.again(m.relu(m.conv(x))) + 1),
        conv=nn.Conv2d(3, 4, 3),
        again=nn.Conv2d(4, 4, 3),
        relu=nn.ReLU(inplace=True),
    )
    prepared = Prepared(net, _images())
    assert (_op(prepared, "conv").activation, _op(prepared, "conv").spare) == (Activation.RELU, None)
    assert _op(prepared, "again").activation is None
    assert prepared.sqnr(prepared.full()) > 25


def test_a_functional_relu_is_fused() -> None:
    net = Net(lambda m, x: torch.relu(m.conv(x)), conv=nn.Conv2d(3, 4, 3))
    prepared = Prepared(net, _images())
    assert _op(prepared, "conv").activation is Activation.RELU
    assert prepared.sqnr(prepared.full()) > 30


def test_relu6_cuts_at_six() -> None:
    conv = nn.Conv2d(3, 4, 3)
    conv.weight.data *= 20
    prepared = Prepared(nn.Sequential(conv, nn.ReLU6()), _images())
    assert prepared.sqnr(prepared.full()) > 30
    assert float(prepared.full().predict(_images())["output"].max()) == pytest.approx(6, abs=1e-3)


def test_a_relu_on_what_others_read_is_not_fused() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        return torch.relu(y) - y

    assert _op(Prepared(Net(forward, conv=nn.Conv2d(3, 4, 3)), _images()), "conv").activation is None


# -- tensors that stay quantized ---------------------------------------------------------------------------------------


def _joined(candidate: Candidate) -> list[bool]:
    module: Any = candidate.native
    return [leaf.gives_quantized for leaf in module.modules() if isinstance(leaf, StaticLeaf)]


def test_consecutive_ops_pass_quantized_tensors_on() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    assert _joined(prepared.full()) == [True, True, False]


def test_passing_quantized_tensors_on_changes_no_bit() -> None:
    prepared = Prepared(small_torch.small_cnn(), small_torch.inputs_for("small_cnn", 2))
    candidate = prepared.full()
    assert any(_joined(candidate))
    joined = candidate.predict(prepared.batches[0].inputs)
    module: Any = candidate.native
    for leaf in module.modules():
        if isinstance(leaf, StaticLeaf):
            leaf.gives_quantized = leaf.takes_quantized = False
    apart = candidate.predict(prepared.batches[0].inputs)
    assert all(np.array_equal(joined[name], apart[name]) for name in joined)


def test_a_float_reader_gets_floats() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    full = Space.of(prepared.table, _STATIC).full_plan()
    candidate = prepared.apply(full.with_precisions({"2": prepared.table["2"].precisions[-1]}))
    assert _joined(candidate) == [False, False]


def test_another_grid_is_not_passed_on() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    full = Space.of(prepared.table, _STATIC).full_plan()
    other = next(p for p in prepared.table["2"].precisions if p.label == "static u8s8 per_channel percentile")
    assert _joined(prepared.apply(full.with_precisions({"2": other}))) == [False, False, False]


def test_nothing_stays_quantized_where_the_way_depends_on_data() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return self.second(y) if bool(x.mean() < 5) else y + 1

    batch = np.ones((2, 8), np.float32)
    prepared = Prepared(Forked(), batch)
    candidate = prepared.full()
    assert _joined(candidate) == [False, False]
    assert candidate.predict(9 * batch)["output"].shape == (2, 8)


class Choosing(nn.Module):
    """Goes one of two ways through its modules, by the values it is given."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if float(x.float().mean()) > 0:
            return self.last(y)
        return self.last(-y) * 2


class ChoosingRecurrent(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.body(x)
        if float(x.mean()) > 0:
            return y[:, 0]
        return y[:, 1]


_CHOOSING: dict[str, tuple[nn.Module, tuple[int, ...], Mode]] = {
    "Linear": (Choosing(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), (8,), Mode.STATIC),
    "Conv": (
        Choosing(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.ConvTranspose2d(8, 4, 2, 2))),
        (3, 4, 4),
        Mode.STATIC,
    ),
    "dynamic Linear": (Choosing(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), (8,), Mode.DYNAMIC),
    "LSTM": (ChoosingRecurrent(nn.LSTM(8, 4, batch_first=True)), (3, 8), Mode.DYNAMIC),
    "GRU": (ChoosingRecurrent(nn.GRU(8, 4, batch_first=True)), (3, 8), Mode.DYNAMIC),
}


@pytest.mark.parametrize("name", _CHOOSING)
def test_control_flow_is_saved_with_its_quantized_modules(name: str, tmp_path: Path) -> None:
    module, shape, mode = _CHOOSING[name]
    x = np.random.default_rng(0).random((2, *shape), np.float32)
    candidate = Prepared(module, x, -x).full(SpaceRules(modes=(mode,)))
    assert {p.mode for p in candidate.realized.precisions.values()} == {mode}
    loaded = _ADAPTOR.load_artifact(_ADAPTOR.save(candidate, tmp_path).folder, RunOptions())
    for inputs in (x, -x):
        assert np.array_equal(loaded.predict(inputs)["output"], candidate.predict(inputs)["output"])


# -- modules called twice, shared and lent weights ---------------------------------------------------------------------


def test_one_range_serves_all_calls() -> None:
    prepared = Prepared(small_torch.called_twice(), small_torch.inputs_for("called_twice", 2))
    assert "called 2 times" in prepared.table["again"].note
    seen = list(_ADAPTOR.observe(prepared.model, prepared.batches, ["again.input"]))
    last_call = float(np.abs(seen[0]["again.input"]).max())
    assert prepared.calibration.tensors["again.input"].maximum >= last_call
    assert prepared.sqnr(prepared.full()) > 20


def test_tied_weights_are_quantized_apart_and_stay_tied_in_the_model() -> None:
    module = small_torch.shared_weights()
    prepared = Prepared(module, small_torch.inputs_for("shared_weights", 2))
    before = module.get_parameter("words.weight").clone()
    auto = SpaceRules(modes=(Mode.STATIC, Mode.DYNAMIC))
    assert prepared.sqnr(prepared.full(auto)) > 20
    assert module.get_parameter("words.weight") is module.get_parameter("head.weight")
    assert torch.equal(module.get_parameter("words.weight"), before)


def test_a_weight_that_others_read_stays_float_and_says_so() -> None:
    net = Net(
        lambda m, x: m.last(nn.functional.linear(m.first(x), m.first.weight)),
        first=nn.Linear(8, 8),
        last=nn.Linear(8, 4),
    )
    prepared = Prepared(net, np.ones((2, 8), np.float32))
    assert all(p.is_float for p in prepared.table["first"].precisions)
    assert prepared.table["first"].note == "its weight is also used outside of it"
    assert prepared.full().realized["last"].mode is Mode.STATIC


def test_a_module_with_hooks_stays_float_and_says_so() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    net[0].register_forward_hook(lambda _, __, y: y * 2)
    prepared = Prepared(net, np.ones((2, 8), np.float32))
    assert "hooks" in prepared.table["0"].note
    assert list(prepared.full().realized) == ["1"]


def test_code_that_asks_for_settings_and_dtype_goes_on_working() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x.to(m.conv.weight.dtype))
        return m.fc(y.mean((2, 3)).reshape(-1, m.fc.in_features))

    net = Net(forward, conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(4, 5))
    prepared = Prepared(net, _images())
    assert prepared.sqnr(prepared.full()) > 25


# -- attention and recurrent modules -----------------------------------------------------------------------------------


def test_encoder_layers_run_without_their_fused_kernel() -> None:
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False
    )
    batch = np.random.default_rng(0).normal(size=(2, 6, 16)).astype(np.float32)
    prepared = Prepared(encoder, batch)
    names = {row.op.id for row in prepared.table}
    assert names == {f"layers.{i}.linear{j}" for i in range(2) for j in (1, 2)}
    assert "encoder layer" in prepared.table["layers.0.linear1"].note
    candidate = prepared.full()
    assert len(candidate.realized) == 4
    assert prepared.sqnr(candidate) > 25


def test_attention_keeps_its_own_projection() -> None:
    net = Net(
        lambda m, x: m.fc(m.attention(x, x, x, need_weights=False)[0]),
        attention=nn.MultiheadAttention(16, 2, batch_first=True),
        fc=nn.Linear(16, 4),
    )
    prepared = Prepared(net, np.random.default_rng(0).normal(size=(2, 6, 16)).astype(np.float32))
    assert [row.op.id for row in prepared.table] == ["fc"]
    assert prepared.sqnr(prepared.full()) > 25


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_modules_run_dynamic(kind: Any) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        m.rnn.flatten_parameters()
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
        states, _ = nn.utils.rnn.pad_packed_sequence(m.rnn(packed)[0], batch_first=True)
        return states[..., : m.rnn.hidden_size]

    net = Net(forward, rnn=kind(8, 8, batch_first=True, bidirectional=True))
    prepared = Prepared(net, np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32))
    candidate = prepared.full(_DYNAMIC)
    assert candidate.realized["rnn"].mode is Mode.DYNAMIC
    assert prepared.sqnr(candidate) > 25


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projections_and_missing_biases_of_an_lstm_say_so() -> None:
    net = Net(
        lambda m, x: m.fc(m.projected(m.plain(x)[0])[0]),
        plain=nn.LSTM(8, 8, bias=False),
        projected=nn.LSTM(8, 8, proj_size=4),
        fc=nn.Linear(4, 2),
    )
    table = Prepared(net, np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)).table
    assert "biases" in table["plain"].note
    assert "projections" in table["projected"].note


def test_embeddings_take_indices_of_any_rank() -> None:
    net = Net(lambda m, x: m.fc(m.words(x)), words=nn.Embedding(20, 8, padding_idx=0), fc=nn.Linear(8, 3))
    indices = np.random.default_rng(0).integers(20, size=(2, 3, 4))
    prepared = Prepared(net, indices)
    candidate = prepared.full(_DYNAMIC)
    assert candidate.realized["words"].mode is Mode.DYNAMIC
    assert prepared.sqnr(candidate) > 30


def test_an_embedding_that_renormalizes_stays_float() -> None:
    net = Net(lambda m, x: m.fc(m.words(x)), words=nn.Embedding(20, 8, max_norm=1.0), fc=nn.Linear(8, 3))
    table = Prepared(net, np.array([[1, 2], [3, 4]])).table
    assert "max_norm" in table["words"].note


# -- settings of convolutions ------------------------------------------------------------------------------------------

_CONVOLUTIONS = {
    "plain": (nn.Conv2d(8, 6, 3, padding=1), 4),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8, dilation=2), 4),
    "same": (nn.Conv2d(8, 6, 3, padding="same"), 4),
    "valid": (nn.Conv2d(8, 6, 3, padding="valid", stride=2), 4),
    "reflect": (nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect"), 4),
    "1d": (nn.Conv1d(8, 6, 3, padding=1), 3),
    "3d": (nn.Conv3d(8, 6, 3, padding=1), 5),
    "transposed": (nn.ConvTranspose2d(8, 8, 2, stride=2), 4),
    "transposed, narrower": (nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1), 4),
    "transposed, narrower, no bias": (nn.ConvTranspose2d(8, 3, 2, stride=2, bias=False), 4),
    "transposed 1d": (nn.ConvTranspose1d(8, 4, 3), 3),
    "transposed 3d": (nn.ConvTranspose3d(8, 4, 2, stride=2), 5),
    "transposed in groups": (nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2), 4),
}


@pytest.mark.parametrize("name", _CONVOLUTIONS)
def test_every_offered_precision_of_a_convolution_is_right(name: str) -> None:
    module, rank = _CONVOLUTIONS[name]
    batch = np.random.default_rng(0).normal(size=(2, 8, *([7] * (rank - 2)))).astype(np.float32)
    prepared = Prepared(nn.Sequential(module), batch)
    precisions = prepared.table["0"].precisions
    assert precisions[0].mode is Mode.STATIC
    for precision in precisions:
        assert prepared.sqnr(prepared.apply(Plan({"0": precision}))) > 20, precision.label


_REFUSED = {
    "circular": (nn.Conv2d(8, 6, 3, padding=1, padding_mode="circular"), "padding mode"),
    "uneven": (nn.Conv2d(8, 6, 2, padding="same"), "'same'"),
    "widening": (nn.ConvTranspose2d(8, 9, 2), "widens"),
    "output padding": (nn.ConvTranspose2d(8, 8, 3, stride=2, output_padding=1), "output padding"),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", _REFUSED)
def test_settings_without_a_kernel_are_not_offered(name: str) -> None:
    module, reason = _REFUSED[name]
    table = Prepared(nn.Sequential(module, nn.Conv2d(module.out_channels, 2, 3)), _images(8)).table
    assert all(p.is_float for p in table["0"].precisions)
    assert reason in table["0"].note


def test_a_convolution_without_batch_axis_is_not_offered() -> None:
    net = Net(
        lambda m, x: m.fc(m.conv(x[0]).mean((1, 2))[None].expand(2, -1)), conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(4, 2)
    )
    assert "3 axes" in Prepared(net, _images()).table["conv"].note


def test_views_of_results_go_on_working() -> None:
    net = Net(lambda m, x: m.fc(m.conv(x).view(x.shape[0], -1)), conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(4 * 10 * 10, 3))
    prepared = Prepared(net, _images())
    assert base_of(prepared.model).dense
    assert prepared.sqnr(prepared.full()) > 25


def test_weights_of_parametrized_modules_are_taken_as_computed() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())
    prepared = Prepared(net, _images())
    assert prepared.table["0"].op.type == "Conv2d"
    assert prepared.sqnr(prepared.full()) > 25


class _PadsItself(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(3, 4, 3, stride=2)
        self.static_padding = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(self.static_padding(x), self.weight, self.bias, self.stride)


class _Doubles(_PadsItself):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_convolution_that_pads_itself_is_an_op_under_its_own_name() -> None:
    net = Net(lambda m, x: m.relu(m.norm(m.stem(x))), stem=_PadsItself(), norm=nn.BatchNorm2d(4), relu=nn.ReLU())
    prepared = Prepared(net, _images())
    assert [row.op.id for row in prepared.table] == ["stem"]
    assert (_op(prepared, "stem").norm, _op(prepared, "stem").spare) == ("norm", "relu")
    assert prepared.sqnr(prepared.full()) > 30


def test_a_convolution_that_does_something_else_stays_as_it_is() -> None:
    net = Net(lambda m, x: m.head(m.stem(x)), stem=_Doubles(), head=nn.Conv2d(4, 2, 1))
    prepared = Prepared(net, _images())
    assert [row.op.id for row in prepared.table] == ["head"]
    assert prepared.sqnr(prepared.full()) > 30


def test_symmetric_activations_lie_around_the_middle_of_the_kernels_type() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    precision = next(p for p in prepared.table["0"].precisions if p.label == "static s8s8 per_channel minmax sym")
    candidate = prepared.apply(Plan({"0": precision}))
    module: Any = candidate.native
    seen = prepared.calibration.tensors["0.input"]
    assert module[0].zero_point == module[0].quantized.zero_point == 128
    assert module[0].scale == pytest.approx(max(-seen.minimum, seen.maximum) / 127)
    assert prepared.sqnr(candidate) > 30


# -- bf16, errors ------------------------------------------------------------------------------------------------------


def test_single_modules_run_in_bf16() -> None:
    prepared = Prepared(small_torch.small_cnn(), small_torch.inputs_for("small_cnn", 2))
    candidate = prepared.apply(Plan({"conv1": BF16, "fc": BF16}))
    assert candidate.realized == Plan({"conv1": BF16, "fc": BF16})
    assert 25 < prepared.sqnr(candidate) < 70


@pytest.mark.parametrize("supported", [False, True])
def test_bf16_is_offered_where_the_processor_computes_in_it(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "computes_in_bf16", lambda: supported)
    table = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2)).table
    assert (BF16 in table["0"].precisions) is supported


def test_a_bare_linear_is_a_model() -> None:
    prepared = Prepared(nn.Linear(8, 4), np.ones((2, 8), np.float32))
    assert [row.op.id for row in prepared.table] == ["Linear"]
    assert prepared.full().realized["Linear"].mode is Mode.STATIC


def test_static_without_calibration_is_a_trial_error() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    with pytest.raises(TrialError, match="needs calibration"):
        _ADAPTOR.apply(prepared.model, Space.of(prepared.table, _STATIC).full_plan(), None, RunOptions())


def test_a_model_without_quantizable_modules_is_refused_with_what_it_has() -> None:
    with pytest.raises(ModelError, match="NoQuantizable"):
        Prepared(small_torch.no_quantizable(), small_torch.inputs_for("no_quantizable", 2))


def test_an_op_of_another_model_is_a_trial_error() -> None:
    prepared = Prepared(small_torch.small_mlp(), small_torch.inputs_for("small_mlp", 2))
    with pytest.raises(TrialError, match="does not have"):
        prepared.apply(Plan({"conv1": BF16}))
