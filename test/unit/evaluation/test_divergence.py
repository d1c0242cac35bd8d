import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.batch import Batch
from autoq.evaluation.divergence import Divergence, Reference

OUTPUTS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def of(found, expected):
    divergence = Divergence()
    divergence.add(found, expected)
    return divergence.value


def test_equal_outputs_do_not_diverge():
    assert of({"y": OUTPUTS}, {"y": OUTPUTS}) == 0.0


@given(st.floats(1e-3, 1e3), st.floats(0.01, 1.0))
def test_it_is_the_relative_squared_error_whatever_the_scale(scale, error):
    expected = scale * OUTPUTS
    assert of({"y": expected * np.float32(1 + error)}, {"y": expected}) == pytest.approx(error**2, rel=1e-3)


def test_batches_add_up():
    divergence = Divergence()
    divergence.add({"y": np.array([1.0])}, {"y": np.array([2.0])})
    divergence.add({"y": np.array([0.0])}, {"y": np.array([4.0])})
    assert divergence.value == pytest.approx((1 + 16) / (4 + 16))


def test_whole_numbers_count_where_they_differ():
    assert of({"ids": np.array([1, 2, 3, 4])}, {"ids": np.array([1, 2, 0, 0])}) == 0.5


def test_outputs_of_other_shapes_are_left_out():
    found = {"boxes": np.zeros((3, 4)), "y": OUTPUTS}
    assert of(found, {"boxes": np.zeros((2, 4)), "y": OUTPUTS}) == 0.0
    assert of({"boxes": np.zeros((3, 4))}, {"boxes": np.zeros((2, 4))}) is None


def test_an_output_of_zeros_diverges_wholly_or_not_at_all():
    zeros = np.zeros(3, np.float32)
    assert of({"y": zeros}, {"y": zeros}) == 0.0
    assert of({"y": zeros + 1}, {"y": zeros}) == 1.0


def batches(count=5):
    for i in range(count):
        yield Batch(np.full((4, 1), i + 1, np.float32), None, 4)


def test_a_reference_keeps_as_many_whole_batches_as_it_needs():
    reference = Reference(lambda x: {"y": x}, batches(), 6)
    assert len(reference.outputs) == 2


def test_only_the_first_batches_are_compared():
    reference = Reference(lambda x: {"y": x}, batches(), 4)
    watched = reference.watch(lambda x: {"y": x * (2 if x[0, 0] > 1 else 1)})
    for batch in batches():
        watched(batch.inputs)
    assert watched.value == 0.0


def test_a_candidate_is_run_no_further_than_needed():
    seen = []
    reference = Reference(lambda x: {"y": x}, batches(), 4)

    def predict(inputs):
        seen.append(inputs)
        return {"y": 2 * inputs}

    assert reference.divergence(predict, batches()) == 1.0
    assert len(seen) == 1


def test_an_evaluation_that_ends_within_a_batch_is_compared_as_far_as_it_went():
    whole, half = (Batch(np.arange(n, dtype=np.float32).reshape(n, 1), None, n) for n in (4, 2))
    reference = Reference(lambda x: {"y": np.asarray(x) + 1, "all": np.ones(3)}, [whole], 4)
    watched = reference.watch(lambda x: {"y": 2 * (np.asarray(x) + 1), "all": np.ones(3)})
    watched(half.inputs)
    assert watched.value == pytest.approx(0.5)  # the mean of 1 and 0
