"""`autoq.fit` on a real model, with everything Python may hand over."""

from __future__ import annotations

import json
import subprocess
import sys

import command
import numpy as np
import onnx
import onnxruntime
import pytest
import small_onnx

import autoq

SAMPLES = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_onnx.write_model(tmp_path_factory.mktemp("model") / "digits.onnx")


@pytest.fixture(scope="module")
def digits():
    images, labels = small_onnx.digits()
    return images[small_onnx.TRAIN :][:SAMPLES], labels[small_onnx.TRAIN :][:SAMPLES]


@pytest.fixture
def conf(tmp_path):
    """A job whose data and metric come from Python."""

    def make(**changes):
        data = small_onnx.job_data(
            tuning__workspace=str(tmp_path / "workspace"), tuning__exit_policy={"max_trials": 1}, **changes
        )
        del data["quantization"]["calibration"]["dataloader"]
        del data["evaluation"]["accuracy"], data["model"]["path"]
        return data

    return make


def batches(images, labels=None, size=20):
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield part if labels is None else (part, labels[start : start + size])


def test_arrays(model, digits, conf):
    result = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    assert result.accepted
    assert result.trials[0].scores[0].samples == SAMPLES
    assert result.best.full
    assert not result.plan.is_baseline


def test_a_generator_gives_the_same_as_arrays(model, digits, conf, tmp_path):
    whole = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    streamed = autoq.fit(
        str(model), conf(tuning__random_seed=1), batches(digits[0]), eval_dataloader=batches(*digits), metric="top1"
    )
    assert streamed.trials[0].scores[0].value == whole.trials[0].scores[0].value
    assert streamed.best.scores[0].value == whole.best.scores[0].value
    assert streamed.plan == whole.plan


def test_a_torch_dataloader(model, digits, conf):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(digits[0]), torch.from_numpy(digits[1]))
    loader = torch.utils.data.DataLoader(data, batch_size=20)
    result = autoq.fit(model, conf(), loader, eval_dataloader=loader, metric="top1")
    assert result.trials[0].scores[0].samples == SAMPLES


@pytest.mark.parametrize("form", [lambda x: {"image": x}, lambda x: [x]], ids=["dict", "list"])
def test_batches_as_dicts_and_lists(model, digits, conf, form):
    data = [(form(images), labels) for images, labels in batches(*digits)]
    result = autoq.fit(
        model, conf(), [form(images) for images in batches(digits[0])], eval_dataloader=data, metric="top1"
    )
    assert result.trials[0].scores[0].samples == SAMPLES


def test_a_model_in_memory(model, digits, conf):
    result = autoq.fit(onnx.load(model), conf(), digits[0], eval_dataloader=digits, metric="top1")
    assert result.accepted


def test_eval_func_gets_the_native_model_and_is_never_cut_short(model, digits, conf):
    seen = []

    def score(session) -> float:
        assert isinstance(session, onnxruntime.InferenceSession)
        seen.append(session)
        return float((session.run(None, {"image": digits[0]})[0].argmax(1) == digits[1]).mean())

    result = autoq.fit(model, conf(), digits[0], eval_func=score)
    assert len(seen) == len(result.trials) == 2
    assert result.trials[0].scores[0].value > 0.9
    assert result.document.held_out is None
    assert "eval_func" in result.report().read_text()


def test_two_black_boxes_of_one_name_do_not_share_scores(model, digits, conf):
    def first(session) -> float:
        return 0.9

    def second(session) -> float:
        return 0.5

    second.__qualname__ = first.__qualname__
    autoq.fit(model, conf(), digits[0], eval_func=first)
    result = autoq.fit(model, conf(tuning__random_seed=0), digits[0], eval_func=second)
    assert [t.scores[0].value for t in result.trials] == [0.5, 0.5]


def test_a_metric_of_ones_own(model, digits, conf):
    def share_right(predictions, labels) -> float:
        return float((predictions.argmax(1) == labels).mean())

    result = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric=share_right)
    assert result.trials[0].scores[0].metric == "share_right"
    assert result.trials[0].scores[0].value > 0.9


def test_a_changed_metric_of_the_same_name_is_not_answered_from_old_scores(model, digits, conf):
    def make(sign):
        def share(predictions, labels) -> float:
            return 2 + sign * float((predictions.argmax(1) == labels).mean())

        return share

    first = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric=make(1))
    second = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric=make(-1))
    assert first.trials[0].scores[0].value > 2.9
    assert second.trials[0].scores[0].value < 1.1


def test_several_metrics_must_all_hold(model, digits, conf):
    data = conf()
    data["evaluation"]["accuracy"] = {
        "metric": [{"name": "top1", "absolute": 0.05}, {"name": "log_loss", "absolute": 1e-9}],
        "postprocess": "softmax",
    }
    result = autoq.fit(model, data, digits[0], eval_dataloader=digits)
    kept, broken = result.trials[1].scores
    assert (kept.metric, kept.limit, kept.met) == ("top1", 0.05, True)
    assert (broken.metric, broken.limit, broken.met) == ("log_loss", 1e-9, False)
    assert not result.accepted


def test_metrics_given_one_after_the_other_do_not_disturb_each_other(model, digits, conf):
    autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    result = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric=["f1", "top1"])
    assert [s.metric for s in result.trials[0].scores] == ["f1", "top1"]


def test_eval_func_and_eval_data_together_are_refused(model, digits, conf):
    with pytest.raises(autoq.AutoqError, match="one or the other"):
        autoq.fit(model, conf(), digits[0], eval_dataloader=digits, eval_func=lambda _: 1.0)


def test_no_way_to_score_is_refused(model, digits, conf):
    with pytest.raises(autoq.AutoqError, match="eval_func"):
        autoq.fit(model, conf(), digits[0])


def test_nothing_accepted_returns_the_fp32_model(model, digits, conf):
    result = autoq.fit(model, conf(), digits[0], eval_func=lambda session: float(session is not None), resume=False)
    assert result.accepted  # constant scores lose nothing
    scores = iter([1.0, 0.1])
    refused = autoq.fit(model, conf(), digits[0], eval_func=lambda _: next(scores))
    assert not refused.accepted
    assert refused.best is None
    assert refused.plan.is_baseline
    expected = onnxruntime.InferenceSession(str(model)).run(None, {"image": digits[0]})[0]
    assert np.array_equal(refused.model.run(None, {"image": digits[0]})[0], expected)


def test_what_was_saved_gives_the_same_outputs_in_a_fresh_process(model, digits, conf, tmp_path):
    result = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    saved = result.save(tmp_path / "out")
    np.save(tmp_path / "images.npy", digits[0])
    code = (
        "import json, numpy as np, autoq\n"
        "found = autoq.load('out').predict(np.load('images.npy'))['logits']\n"
        "print(json.dumps(found.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=command.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = result.model.run(None, {"image": digits[0]})[0]
    assert np.array_equal(np.array(json.loads(done.stdout), np.float32), expected)
    assert {"plan.yaml", "report.html", "report.json", "bundle"} <= {p.name for p in saved.iterdir()}


def test_saving_twice_replaces_and_saving_over_something_else_is_refused(model, digits, conf, tmp_path):
    result = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    result.save(tmp_path / "out")
    result.save(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(autoq.AutoqError, match="not empty"):
        result.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").exists()
    with pytest.raises(autoq.AutoqError, match="a file stands"):
        result.save(tmp_path / "mine" / "notes.txt")


def test_resume_of_a_finished_fit_scores_nothing(model, digits, conf):
    first = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1")
    again = autoq.fit(model, conf(), digits[0], eval_dataloader=digits, metric="top1", resume=True)
    assert again.outcome.job_id == first.outcome.job_id
    assert again.trials == first.trials
