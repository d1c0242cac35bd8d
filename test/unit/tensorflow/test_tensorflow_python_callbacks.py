"""Functions that call back into Python are refused: what is saved of them could not run elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError


@pytest.mark.parametrize("wrap", [tf.numpy_function, tf.py_function])
def test_a_python_callback_is_refused_by_name(wrap) -> None:
    def doubled(x):
        y = wrap(lambda values: np.float32(2) * values, [x], tf.float32)
        y.set_shape([None, 3])
        return y

    function = tf.function(doubled, input_signature=[tf.TensorSpec([None, 3])])
    with pytest.raises(ModelError, match=r"node '.*' \(\w*PyFunc\w*\) calls back into Python") as told:
        read(ModelSource(function))
    assert "TensorFlow's own ops" in (told.value.hint or "")
