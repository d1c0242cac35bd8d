"""The comparison's own metrics are autoq's: no tool is scored by other rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoq.core.batch import Batch
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.postprocess import make_postprocess
from benchmarks.peers import metric
from benchmarks.peers.neutral import Samples, Task

SEEDS = st.integers(0, 2**32 - 1)
_ALPHABET = ("<blank>", *"abcdefg", " ")


def _task(name: str, decode: str = "argmax", rows: int = 1) -> Task:
    return Task("t", ("x",), name, decode=decode, rows_per_sample=rows, alphabet=_ALPHABET, batch_size=3)


def _autoq_score(name: str, predictions: object, labels: NDArray[np.generic]) -> float:
    chosen = make_metric(name)
    records = chosen.records(predictions, Batch({"x": labels}, labels, len(labels)))
    return chosen.score(records, records)


@given(SEEDS)
def test_accuracy_of_class_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(20, 4)), rng.integers(4, size=20)
    found = metric.score(_task("accuracy"), scores.argmax(-1), labels)
    assert found == pytest.approx(_autoq_score("accuracy", scores, labels))


@given(SEEDS)
def test_agreement_is_accuracy_against_fp32s_answers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(size=(2, 20, 4))
    chosen = make_metric("agreement")
    batch = Batch({"x": ours}, None, 20)
    expected = chosen.score(chosen.records(ours, batch), chosen.records(theirs, batch))
    assert metric.score(_task("agreement"), ours.argmax(-1), theirs.argmax(-1)) == pytest.approx(expected)


@given(SEEDS)
def test_spearman_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predictions = np.append(rng.integers(6, size=30), [0, 9]).astype(np.float64)
    labels = np.append(rng.integers(4, size=30), [0, 9]).astype(np.float64)
    found = metric.score(_task("spearman"), predictions, labels)
    assert found == pytest.approx(_autoq_score("spearman", predictions, labels))


@given(st.lists(st.tuples(st.text("abc", max_size=6), st.text("abc", min_size=1, max_size=6)), min_size=1, max_size=8))
def test_character_accuracy_is_one_less_the_error_rate(pairs: list[tuple[str, str]]) -> None:
    texts, labels = (np.array(column) for column in zip(*pairs, strict=True))
    expected = 1 - _autoq_score("character_error_rate", [str(t) for t in texts], np.array([str(t) for t in labels]))
    assert metric.score(_task("character_accuracy"), texts, labels) == pytest.approx(expected)


@given(SEEDS)
def test_decoding_of_texts(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, 12, len(_ALPHABET)))
    step = make_postprocess([("ctc_greedy", {"charset": list(_ALPHABET), "blank": 0})])
    expected = step({"scores": scores}, Batch({"x": scores}, None, 3))
    batch = Samples({"x": scores}, None, 1)
    assert metric.decode(_task("character_accuracy", "ctc_greedy"), [scores], batch).tolist() == expected


@given(SEEDS)
def test_cosines_of_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens, mask = rng.normal(size=(8, 5, 6)), (rng.random((8, 5)) < 0.7).astype(np.int64)
    mask[:, 0] = 1
    step = make_postprocess([("mean_pooling", {}), ("pair_cosine", {})])
    expected = step({"tokens": tokens}, Batch({"attention_mask": mask}, None, 4))
    batch = Samples({"attention_mask": mask}, None, 2)
    found = metric.decode(_task("spearman", "pair_cosine", rows=2), [tokens], batch)
    np.testing.assert_allclose(found, expected)


def test_scores_of_single_samples_average_to_the_accuracy() -> None:
    task, predictions, labels = _task("accuracy"), np.array([1, 0, 2]), np.array([1, 1, 2])
    singles = metric.per_sample(task, predictions, labels)
    assert singles is not None
    assert sum(singles) / 3 == pytest.approx(metric.score(task, predictions, labels))


def test_a_correlation_has_no_score_of_one_sample() -> None:
    assert metric.per_sample(_task("spearman"), np.array([0.1]), np.array([1.0])) is None


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    samples = Samples({"x": np.random.default_rng(0).normal(size=(10, 4))}, None, 1)
    small, large = _task("accuracy"), Task("t", ("x",), "accuracy", batch_size=100)
    found = [metric.predict(task, lambda inputs: [inputs["x"]], samples).tolist() for task in (small, large)]
    assert found[0] == found[1]
