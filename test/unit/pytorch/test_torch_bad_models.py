import pytest
import torch
from small_torch import inputs_for, no_quantizable, small_cnn, small_mlp
from torch import nn

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch.model import load
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError


def refusal(module, name="small_cnn"):
    with pytest.raises(ModelError) as caught:
        load(ModelSource(module, example=lambda: inputs_for(name)))
    return str(caught.value)


def test_a_model_on_the_meta_device():
    told = refusal(small_cnn().to("meta"))
    assert told.startswith("conv1.weight: this weight is on the meta device")
    assert "load_state_dict" in told


@pytest.mark.parametrize(("dtype", "word"), [(torch.float16, "float16"), (torch.bfloat16, "bfloat16")])
def test_half_precision_names_the_weight_and_the_way_back(dtype, word):
    module = small_cnn()
    module.layer1[1].pointwise.to(dtype)
    told = refusal(module)
    assert told.startswith(f"layer1.1.pointwise.weight: this weight is {word}")
    assert "model.float()" in told


def test_double_precision():
    assert "this weight is float64" in refusal(small_mlp().double(), "small_mlp")


def test_complex_weights():
    module = small_mlp()
    module[2].weight = nn.Parameter(torch.zeros(32, 32, dtype=torch.complex64))
    assert refusal(module, "small_mlp").startswith("2.weight: this weight is complex")


def test_buffers_on_the_meta_device():
    module = small_mlp()
    module.register_buffer("table", torch.zeros(2, device="meta"), persistent=False)
    assert refusal(module, "small_mlp").startswith("table: this weight is on the meta device")


def test_tables_of_complex_numbers_are_no_weights():
    module = small_mlp()
    module.register_buffer("angles", torch.zeros(2, dtype=torch.complex64))
    assert load(ModelSource(module, example=lambda: inputs_for("small_mlp"))).calls


def test_batch_norm_in_training_mode():
    module = small_cnn()
    module.layer1[0].train()
    told = refusal(module)
    assert told.startswith("layer1.0.bn1: this BatchNorm2d is in training mode")
    assert "model.eval()" in told


def test_any_module_in_training_mode():
    assert refusal(small_mlp().train(), "small_mlp").startswith("Sequential: this Sequential is in training mode")


def test_a_model_that_cannot_be_copied():
    module = small_mlp()
    module.generator = (i for i in range(3))
    assert "the model cannot be copied: TypeError" in refusal(module, "small_mlp")


def test_a_model_that_returns_text():
    class Texts(nn.Module):
        def forward(self, x):
            return ["a", "b"]

    assert "returns a str, which autoq cannot read" in refusal(Texts().eval(), "small_mlp")


def test_inputs_with_different_batches():
    class Two(nn.Module):
        def forward(self, a, b):
            return a

    with pytest.raises(ModelError, match="differ in their first axis: a 4, b 2"):
        load(ModelSource(Two().eval(), example=lambda: [inputs_for("small_mlp", 4), inputs_for("small_mlp", 2)]))


def test_nothing_to_quantize_lists_the_modules():
    with pytest.raises(ModelError, match="finds nothing to quantize") as caught:
        require_quantizable(0, no_quantizable(), "pytorch_fx")
    assert "its modules are: NoQuantizable" in str(caught.value)
