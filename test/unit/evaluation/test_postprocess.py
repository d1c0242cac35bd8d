import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from autoq.core.batch import Batch
from autoq.core.errors import ConfigError, EvaluationError
from autoq.evaluation.postprocess import make_postprocess, step_names


def run(steps, outputs, inputs=None, samples=2):
    made = make_postprocess([(s, {}) if isinstance(s, str) else s for s in steps])
    return made(outputs, Batch({} if inputs is None else inputs, None, samples))


def test_without_steps_outputs_pass_as_they_are():
    outputs = {"a": np.ones((2, 3)), "b": np.ones(2)}
    assert run([], outputs) is outputs


@pytest.mark.parametrize("output", ["b", 1, -1])
def test_select_by_name_or_index(output):
    assert run([("select", {"output": output})], {"a": np.zeros(2), "b": np.ones(2)}).tolist() == [1, 1]


def test_squeeze_keeps_the_batch_axis():
    assert run(["squeeze"], {"a": np.ones((1, 3, 1, 1))}, samples=1).shape == (1, 3)
    assert run([("squeeze", {"axis": 2})], {"a": np.ones((1, 3, 1, 1))}, samples=1).shape == (1, 3, 1)


def test_softmax_is_stable_for_large_numbers():
    logits = np.array([[1000.0, 1001.0, -1000.0], [0.0, 0.0, 0.0]])
    assert run(["softmax"], {"a": logits}) == pytest.approx(softmax(logits, axis=-1))


def test_sigmoid_and_argmax():
    assert run(["sigmoid"], {"a": np.array([[0.0], [-1000.0]])}).tolist() == [[0.5], [0.0]]
    assert run(["softmax", "argmax"], {"a": np.array([[1.0, 3.0], [2.0, 0.0]])}).tolist() == [1, 0]


def test_mean_pooling_leaves_padding_out():
    tokens = np.array([[[1.0, 1.0], [3.0, 5.0]], [[2.0, 2.0], [9.0, 9.0]]])
    mask = np.array([[1, 1], [1, 0]])
    found = run(["mean_pooling"], {"h": tokens, "pooled": np.ones((2, 2))}, {"attention_mask": mask})
    assert found.tolist() == [[2, 3], [2, 2]]


def test_cls_pooling_takes_the_first_token():
    tokens = np.arange(12.0).reshape(2, 3, 2)
    assert run(["cls_pooling"], {"h": tokens}).tolist() == [[0, 1], [6, 7]]


def test_sentence_pairs_from_tokens_to_cosine():
    tokens = np.array([[[3.0, 0.0]], [[5.0, 0.0]], [[1.0, 0.0]], [[0.0, 2.0]]])
    steps = ["mean_pooling", "l2_normalize", "pair_cosine"]
    assert run(steps, {"h": tokens}, {"attention_mask": np.ones((4, 1))}) == pytest.approx([1, 0])


def test_zero_vectors_stay_zero():
    assert run(["l2_normalize"], {"a": np.zeros((2, 3))}).tolist() == np.zeros((2, 3)).tolist()
    assert run(["pair_cosine"], {"a": np.zeros((4, 3))}).tolist() == [0, 0]


def greedy(scores, charset, **arguments):
    return run([("ctc_greedy", {"charset": charset, **arguments})], {"s": scores}, samples=len(scores))


def one_hot(classes, width):
    return np.eye(width)[np.array(classes)]


@given(st.text("abc", max_size=6), st.integers(0, 3), st.integers(1, 3))
def test_ctc_greedy_undoes_ctc_alignment(text, blank, repeat):
    symbols = list("abc")
    classes = {c: i + (i >= blank) for i, c in enumerate(symbols)}
    path = [blank]
    for character in text:
        path += [classes[character]] * repeat + [blank]
    assert greedy(one_hot([path], 4), symbols, blank=blank) == [text]


def test_ctc_greedy_joins_repeats_and_reads_time_first():
    scores = one_hot([[1, 1, 0, 1, 2, 2], [0, 2, 0, 0, 2, 1]], 3)
    assert greedy(scores, ["a", "b"]) == ["aab", "bba"]
    assert greedy(scores.transpose(1, 0, 2), ["a", "b"], layout="tnc") == ["aab", "bba"]


def test_ctc_charset_from_a_file_with_a_space_appended(tmp_path):
    (tmp_path / "charset.txt").write_text("a\nb\n", encoding="utf-8")
    made = make_postprocess([("ctc_greedy", {"charset": "charset.txt", "space": True})], tmp_path)
    assert made({"s": one_hot([[1, 3, 2]], 4)}, Batch(np.zeros(1), None, 1)) == ["a b"]


def test_a_function_gets_outputs_batch_and_arguments(tmp_path, monkeypatch):
    (tmp_path / "steps_for_test.py").write_text(
        "def scale(outputs, batch, factor=1):\n    return outputs['a'] * factor * batch.samples\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run([("steps_for_test:scale", {"factor": 3})], {"a": np.ones(2)}).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("steps", "outputs", "message"),
    [
        (["softmax"], {"a": np.ones(2), "b": np.ones(2)}, "the model has 2 outputs: a, b"),
        ([("select", {"output": "aa"})], {"a": np.ones(2)}, "did you mean 'a'"),
        ([("select", {"output": 3})], {"a": np.ones(2)}, "no output 3"),
        (["mean_pooling"], {"a": np.ones((2, 3))}, "token vectors"),
        (["mean_pooling"], {"a": np.ones((2, 3, 4))}, "no input 'attention_mask'"),
        (["pair_cosine"], {"a": np.ones((3, 3))}, "rows_per_sample: 2"),
        ([("softmax", {"axis": 5})], {"a": np.ones((3, 3))}, "postprocess 'softmax'"),
        ([("ctc_greedy", {"charset": ["a"]})], {"a": np.ones((2, 3, 4))}, "1 symbols for 4 classes"),
        ([("ctc_greedy", {"charset": ["a"], "blank": 9})], {"a": np.ones((2, 3, 4))}, "the blank is class 9"),
        ([("ctc_greedy", {"charset": ["a"]}), "softmax"], {"a": np.ones((2, 3, 2))}, "gave list"),
        (["os:getcwd"], {"a": np.ones(2)}, "postprocess 'os:getcwd'"),
    ],
)
def test_outputs_that_do_not_fit_name_the_step(steps, outputs, message):
    with pytest.raises(EvaluationError) as caught:
        run(steps, outputs)
    assert message in str(caught.value)
    assert "postprocess '" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "arguments", "message"),
    [
        ("sofmax", {}, "did you mean 'softmax'"),
        ("softmax", {"axes": 1}, "no argument 'axes'"),
        ("sigmoid", {"axis": 1}, "it takes none"),
        ("select", {}, "its arguments are output"),
        ("squeeze", {"axis": 0}, "axis 0 holds the samples"),
        ("argmax", {"axis": 0}, "axis 0 holds the samples"),
        ("ctc_greedy", {"charset": "no/such/file"}, "cannot be read"),
        ("ctc_greedy", {"charset": ["a"], "layout": "nct"}, "layout is ntc or tnc"),
        ("boxes", {"tresh": 1}, "no argument 'tresh'"),
        ("no_such_module_here:f", {}, "cannot import"),
        ("os:no_such_function", {}, "has no 'no_such_function'"),
        ("os:sep", {}, "not callable"),
    ],
)
def test_mistakes_in_the_job_are_explained(step, arguments, message):
    with pytest.raises(ConfigError) as caught:
        make_postprocess([(step, arguments)])
    assert message in str(caught.value)


def test_steps_are_listed():
    assert {"softmax", "boxes", "ctc_greedy", "mean_pooling"} <= set(step_names())
