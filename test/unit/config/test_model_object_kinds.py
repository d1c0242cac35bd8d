"""What an object handed over in Python is told to be."""

import subprocess
import sys

import onnx
import pytest
import torch

from autoq.config.model_kind import kinds_of_object
from autoq.config.schema import Job
from autoq.core.errors import ConfigError
from autoq.tuning.assemble import PythonParts, model_source


def frameworks(model):
    return [kind.frameworks[0] for kind in kinds_of_object(model)]


def test_objects_of_torch_and_onnx_are_known():
    assert frameworks(torch.nn.Linear(1, 1)) == ["pytorch_fx"]
    assert frameworks(torch.export.export(torch.nn.Linear(1, 1), (torch.zeros(1, 1),))) == ["pytorch_fx"]
    assert frameworks(onnx.ModelProto()) == ["onnxrt_qdq"]
    assert frameworks(object()) == []


def test_objects_of_tensorflow_are_known():
    script = """
from autoq.adaptors.tensorflow.runtime import tf
from autoq.config.model_kind import kinds_of_object
import keras, tf_keras
network = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
old = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
function = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])]).get_concrete_function()
functional = keras.Model(network.inputs, network.outputs)
for model in (network, functional, old, tf.Module(), function, tf.compat.v1.GraphDef()):
    assert kinds_of_object(model)[0].frameworks == ("tensorflow", "tensorflow_lite"), model
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_of_another_framework_is_told_with_the_one_to_write():
    job = Job.model_validate({"model": {"framework": "onnxrt_qdq"}})
    with pytest.raises(ConfigError, match=r"a PyTorch model, which framework onnxrt_qdq does not read") as told:
        model_source(job, PythonParts(model=torch.nn.Linear(1, 1)))
    assert "pytorch_fx" in (told.value.hint or "")
