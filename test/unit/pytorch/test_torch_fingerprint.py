import subprocess
import sys

import pytest
import torch
from small_torch import inputs_for, small_cnn, small_detector

from autoq.adaptors.pytorch.model import load
from autoq.core.adaptor import ModelSource

IMAGES = inputs_for("small_cnn")


def fingerprint(module):
    return load(ModelSource(module, example=lambda: IMAGES)).fingerprint


def test_it_is_the_same_in_every_process():
    code = (
        "import sys; sys.path[:0] = ['test/support']\n"
        "from small_torch import inputs_for, small_cnn\n"
        "from autoq.adaptors.pytorch.model import load\n"
        "from autoq.core.adaptor import ModelSource\n"
        "print(load(ModelSource(small_cnn(), example=lambda: inputs_for('small_cnn'))).fingerprint)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == fingerprint(small_cnn())


def change_weight(module):
    with torch.no_grad():
        module.fc.bias[3] += 1e-6


def change_setting(module):
    module.pool.output_size = (1, 1)


def change_buffer(module):
    module.bn1.running_mean[0] += 1


def change_layer(module):
    module.relu = torch.nn.ReLU6().eval()


@pytest.mark.parametrize("change", [change_weight, change_setting, change_buffer, change_layer])
def test_it_changes_with_what_the_model_computes(change):
    module = small_cnn()
    change(module)
    assert fingerprint(module) != fingerprint(small_cnn())


def test_it_knows_settings_that_repr_does_not_show():
    assert repr(small_detector("dict")) == repr(small_detector("tuple"))
    assert fingerprint(small_detector("dict")) != fingerprint(small_detector("tuple"))


def test_it_does_not_depend_on_the_example():
    other = load(ModelSource(small_cnn(), example=lambda: inputs_for("small_cnn", 3, seed=9)))
    assert other.fingerprint == fingerprint(small_cnn())
