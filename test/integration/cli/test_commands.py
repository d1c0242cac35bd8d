"""Every command of the real executable, on a real job."""

from __future__ import annotations

import json
import shutil

import command
import pytest
import small_onnx
import toy_job
import yaml

from autoq.config.json_schema import job_to_yaml
from autoq.store.repository import Store

COMMANDS = ("init", "validate", "inspect", "tune", "benchmark", "evaluate", "report", "replay", "doctor")


def test_help_lists_every_command(tmp_path):
    shown = command.autoq("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tune", ["--resume", "--workspace", "--max-trials", "--timeout", "Ctrl-C"]),
        ("evaluate", ["--model", "--held-out", "--json"]),
        ("benchmark", ["--instances", "--threads", "--batch-size"]),
        ("replay", ["BUNDLE"]),
    ],
)
def test_help_of_a_command_names_its_options(name, options, tmp_path):
    shown = command.autoq(name, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert [o for o in options if o not in shown.stdout] == []


def test_from_init_to_a_valid_job(tmp_path):
    small_onnx.write_model(tmp_path / "digits.onnx")
    made = command.autoq("init", "--framework", "onnxrt_qdq", "--model", "digits.onnx", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert yaml.safe_load((tmp_path / "job.yaml").read_text())["model"]["path"] == "digits.onnx"
    checked = command.autoq("validate", "job.yaml", cwd=tmp_path)
    command.refused(checked, 2, "does not exist")  # the data sections are still to be edited


def test_validate_says_what_the_job_will_do(tuned):
    shown = command.autoq("validate", "job.yaml", cwd=tuned.folder)
    assert shown.returncode == 0, shown.stderr
    assert "is valid" in shown.stdout
    assert "top1: at most 0.05 loss (absolute)" in shown.stdout


def test_inspect_lists_the_ops_and_their_precisions(tuned):
    shown = command.autoq("inspect", "digits.onnx", "--json", cwd=tuned.folder)
    assert [row["op"] for row in json.loads(shown.stdout)["rows"]] == ["conv1", "conv2", "fc"]


def test_tune_prints_every_trial_the_verdict_and_where_the_report_lies(tuned):
    lines = tuned.run.stdout.splitlines()
    trials = [line for line in lines if line.startswith("trial")]
    assert [line.split()[1] for line in trials] == [str(number) for number in range(len(trials))]
    assert len([line for line in trials if "finalist" not in line]) == 5
    assert any(line.startswith("Promise kept") for line in lines)
    assert f"report: {tuned.results / 'report.html'}" in lines


def test_tune_leaves_model_plan_report_and_bundle(tuned):
    left = {p.name for p in tuned.results.iterdir()}
    assert left >= {"model", "plan.yaml", "report.html", "report.json", "bundle"}


def test_report_prints_the_verdict_of_the_latest_job(tuned):
    shown = command.autoq("report", "--workspace", "workspace", cwd=tuned.folder)
    assert shown.returncode == 0, shown.stderr
    assert "Promise kept" in shown.stdout


def test_evaluate_of_the_job_alone_scores_fp32(tuned):
    shown = command.autoq("evaluate", "job.yaml", "--json", cwd=tuned.folder)
    (score,) = json.loads(shown.stdout)
    assert score["value"] == score["baseline"] > 0.9


def test_evaluate_of_the_saved_folder_gives_the_score_of_its_trial(tuned):
    shown = command.autoq("evaluate", "job.yaml", "--model", tuned.results / "model", "--json", cwd=tuned.folder)
    (score,) = json.loads(shown.stdout)
    bundle = json.loads((tuned.results / "bundle" / "bundle.json").read_text())
    best = next(t for t in bundle["trials"] if t["number"] == bundle["best"])
    assert score["value"] == best["scores"][0]["value"]
    assert score["samples"] == best["scores"][0]["samples"]


def test_evaluate_takes_any_onnx_file_and_the_held_out_split(tuned, tmp_path):
    shutil.copy(next((tuned.results / "model").glob("*.onnx")), tmp_path / "deployed.onnx")
    shown = command.autoq(
        "evaluate", "job.yaml", "--model", tmp_path / "deployed.onnx", "--held-out", "--json", cwd=tuned.folder
    )
    (score,) = json.loads(shown.stdout)
    assert score["samples"] == 60


@pytest.mark.parametrize("instances", [1, 2])
def test_benchmark_measures_next_to_fp32(tuned, instances):
    shown = command.autoq(
        "benchmark", "job.yaml", "--model", tuned.results / "model", "--instances", str(instances),
        "--rounds", "5", "--seconds", "2", "--json", cwd=tuned.folder,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["instances"] == instances
    assert set(found["models"]) == {"fp32", "model"}
    assert all(m["samples_per_second"] > 0 for m in found["models"].values())


def test_replay_says_that_plan_and_scores_came_out_again(tuned):
    shown = command.autoq("replay", tuned.results, cwd=tuned.folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("came out again") >= 2


def test_replay_on_other_data_says_what_differs(tuned, tmp_path):
    small_onnx.write_job(tmp_path)
    small_onnx.write_data(tmp_path, samples=160)
    bundle = (tuned.results / "bundle" / "bundle.json").read_text()
    (tmp_path / "bundle.json").write_text(bundle.replace(str(tuned.folder), str(tmp_path)))
    shown = command.autoq("replay", tmp_path, cwd=tmp_path)
    assert shown.returncode == 21
    assert "data or settings" in shown.stdout
    assert "Traceback" not in shown.stderr


def test_another_limit_scores_no_sample_again(tuned, tmp_path):
    job = tuned.folder / "strict.yaml"
    job.write_text(yaml.safe_dump(small_onnx.job_data(tuning__accuracy_criterion={"absolute": 0.001})))
    shown = command.autoq("tune", "strict.yaml", cwd=tuned.folder)
    assert shown.returncode == 0, shown.stderr
    with Store.open(tuned.folder / "workspace") as store:
        newest = store.jobs()[-1]
        before = {t.plan.digest: t.samples for job in store.jobs()[:-1] for t in store.trials(job.id)}
        scored = [t for t in store.trials(newest.id) if t.seconds.get("evaluate")]
    assert [t for t in scored if t.samples <= before.get(t.plan.digest, 0)] == []


def test_require_accepted_tells_by_the_exit_code(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((5.0,) * 3))
    (tmp_path / "job.yaml").write_text(job_to_yaml(job))
    done = command.autoq("tune", "job.yaml", "--require-accepted", cwd=tmp_path)
    assert done.returncode == 20, done.stdout + done.stderr
    assert "fp32 is the answer" in done.stdout


def test_in_process_gives_the_same_trials(tuned, tmp_path):
    small_onnx.write_job(tmp_path)
    done = command.autoq("tune", "job.yaml", "--in-process", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    def told(text):
        return [line.partition(" [")[0][:40] for line in text.splitlines() if line.startswith("trial")]

    assert told(done.stdout) == told(tuned.run.stdout)


def test_doctor_names_the_usable_adaptors(tmp_path):
    shown = command.autoq("doctor", cwd=tmp_path)
    assert shown.returncode == 0
    assert "onnxrt_qdq" in shown.stdout
