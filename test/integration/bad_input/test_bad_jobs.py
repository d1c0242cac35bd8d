"""Job files that mean nothing."""

from __future__ import annotations

import pytest


def test_wrong_types_are_all_told_with_their_places(place):
    place.write_job(tuning__random_seed="many", evaluation__performance={"iterations": "ten"})
    place.refused(
        2, "job.yaml has 2 problems", "job.yaml:14:17: evaluation.performance.iterations", "tuning.random_seed"
    )


def test_an_unknown_key(place):
    place.write_job(tuning__strategie="basic")
    place.refused(2, "unknown key 'tuning.strategie'", "did you mean 'strategy'?")


def test_an_op_that_does_not_exist(place):
    place.write_job(quantization__op_wise={"conv9": {"modes": "static"}})
    place.refused(2, "job.yaml:30:5", "op 'conv9' matches nothing", "conv1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model:\n\tname: x\n", "a tab"),
        (bytes(range(256)), "binary"),
        (b"\xff\xfem\x00", "binary"),
        (b"", "job.yaml"),
        (b"[1, 2]", "job.yaml"),
        (b"model: {framework: onnxrt_qdq", "job.yaml:"),
        (b"model: &a [*a]", "job.yaml:"),
    ],
)
def test_a_file_that_is_no_job(place, content, said):
    (place.folder / "job.yaml").write_bytes(content)
    place.refused(2, said)


def test_a_job_that_is_not_there(place):
    place.refused(2, "nope.yaml: there is no such job file", command=("tune", "nope.yaml"))


def test_a_folder_as_a_job(place):
    place.refused(2, "workspace", command=("tune", "workspace"))


@pytest.mark.parametrize("command", ["tune", "validate", "evaluate", "benchmark", "inspect"])
def test_every_command_that_takes_a_job_says_where_it_is_wrong(place, command):
    place.write_job(tuning__strategie="basic")
    place.refused(2, "unknown key 'tuning.strategie'", command=(command, "job.yaml"))


@pytest.mark.parametrize(
    "command", [("tun",), ("tune",), ("tune", "job.yaml", "--max-trials", "0"), ("evaluate", "job.yaml", "--modell")]
)
def test_wrong_usage_exits_with_2(place, command):
    place.refused(2, "rror", command=command)


def test_resuming_what_never_ran(place):
    place.write_job(tuning__random_seed=5)
    place.refused(6, "there is no job to resume", command=("tune", "job.yaml", "--resume"))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_bundle_that_is_none(place, tmp_path, content):
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    place.refused(6, "bundle", command=("replay", str(tmp_path)))


def test_a_report_of_a_job_that_does_not_exist(place):
    place.refused(6, "there is no job 'x'", command=("report", "x", "--workspace", "workspace"))


def test_a_memory_limit_that_nothing_fits_in(place):
    place.write_job(runner={"memory": "1MB"})
    place.refused(9, "could not load the job", "more than the limit of 1 MB", command=("tune", "job.yaml"))
