import numpy as np
import pytest

from autoq.core.batch import Batch
from autoq.core.errors import DataError, EvaluationError
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.postprocess import make_postprocess
from autoq.evaluation.scoring import NotFiniteError, score_batches

AS_IS = make_postprocess([])


def batches(*sizes):
    start = 0
    for size in sizes:
        x = np.arange(start, start + size, dtype=np.float32)[:, None]
        yield Batch({"x": x}, np.arange(start, start + size) % 3, size)
        start += size


def classify(inputs):
    return {"y": np.eye(3, dtype=np.float32)[inputs["x"][:, 0].astype(int) % 3]}


def test_one_record_per_sample_and_metric_in_order():
    metrics = [make_metric("accuracy"), make_metric("agreement")]
    records = score_batches(classify, batches(4, 4, 2), AS_IS, metrics)
    assert list(records) == ["accuracy", "agreement"]
    assert [len(r) for r in records.values()] == [10, 10]
    assert records["agreement"].values[:, 0].tolist() == [i % 3 for i in range(10)]
    assert metrics[0].score(records["accuracy"], records["accuracy"]) == 1.0


def test_progress_counts_samples():
    seen = []
    score_batches(classify, batches(4, 4, 2), AS_IS, [make_metric("accuracy")], seen.append)
    assert seen == [4, 8, 10]


def test_batches_are_read_one_at_a_time():
    alive = []

    def predict(inputs):
        alive.append("run")
        return classify(inputs)

    def watched():
        for i, batch in enumerate(batches(1, 1, 1)):
            assert len(alive) == i
            yield batch

    score_batches(predict, watched(), AS_IS, [make_metric("accuracy")])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_output_names_output_and_sample(value):
    def predict(inputs):
        outputs = classify(inputs)
        outputs["y"][inputs["x"][:, 0] == 6, 1] = value
        return outputs

    with pytest.raises(NotFiniteError, match=r"output 'y' holds -?(nan|inf) at sample 6"):
        score_batches(predict, batches(4, 4), AS_IS, [make_metric("accuracy")])


def test_large_finite_outputs_whose_sum_overflows_are_fine():
    def predict(inputs):
        return {"y": np.full((len(inputs["x"]), 3), 1.7e308)}

    assert len(score_batches(predict, batches(4), AS_IS, [make_metric("accuracy")])["accuracy"]) == 4


def test_rows_per_sample_count_in_messages():
    outputs = {"y": np.zeros((8, 2), np.float32)}
    outputs["y"][5] = np.nan

    with pytest.raises(NotFiniteError, match="at sample 2"):
        score_batches(lambda _: outputs, batches(4), AS_IS, [make_metric("accuracy")])


def test_no_samples_is_an_error():
    with pytest.raises(DataError, match="no samples to score"):
        score_batches(classify, [], AS_IS, [make_metric("accuracy")])


def test_two_metrics_of_one_name_are_refused():
    with pytest.raises(EvaluationError, match="same name"):
        score_batches(classify, batches(1), AS_IS, [make_metric("accuracy"), make_metric("accuracy")])
