"""`autoq inspect` and `autoq doctor` on ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from autoq.cli import doctor, inspect
from autoq.cli.console import console
from autoq.core.errors import ConfigError, MissingDependencyError, ModelError

JOB = """
model: {framework: onnxrt_qdq, path: cnn.onnx}
quantization:
  op_wise: {head: {activation: {dtype: fp32}}}
evaluation:
  accuracy: {metric: agreement, dataloader: {dataset: {npz: {path: data.npz}}}}
tuning: {accuracy_criterion: {absolute: 0.01}}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(console, "width", 200)
    app = typer.Typer()
    app.command("inspect")(inspect.command)
    app.command("doctor")(doctor.command)

    def invoke(*arguments: str | Path) -> Result:
        # Consoles look for standard output when they print, so that the runner sees it.
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_inspect_shows_types_ops_and_origin(run: Any, saved_cnn: Path) -> None:
    text = run("inspect", saved_cnn).output
    assert "static u8s8 per_channel minmax (0.5)" in text
    assert "depthwise" in text
    assert "capability.yaml" in text


def test_inspect_prints_the_table_as_json(run: Any, saved_cnn: Path) -> None:
    data = json.loads(run("inspect", saved_cnn, "--json").output)
    assert [row["op"] for row in data["rows"]][:2] == ["stem", "depthwise"]
    assert data["framework"] == "onnxrt_qdq"
    assert ["stem", "depthwise"] in data["edges"]


@pytest.mark.parametrize(("pattern", "ops"), [("Gemm", ["fc"]), ("*e*s*", ["depthwise", "residual"])])
def test_inspect_finds_ops_by_type_or_pattern(run: Any, saved_cnn: Path, pattern: str, ops: list[str]) -> None:
    data = json.loads(run("inspect", saved_cnn, "--op", pattern, "--json").output)
    assert [row["op"] for row in data["rows"]] == ops


def test_inspect_limits_the_list_and_says_so(run: Any, saved_cnn: Path) -> None:
    assert "and 5 more" in run("inspect", saved_cnn, "--limit", "2").output


def test_inspect_of_a_pattern_that_matches_nothing(run: Any, saved_cnn: Path) -> None:
    with pytest.raises(ConfigError, match=r"'stme' matches nothing.*\n.*'stem'"):
        run("inspect", saved_cnn, "--op", "stme")


def test_inspect_of_a_job_applies_its_rules(run: Any, saved_cnn: Path) -> None:
    job = saved_cnn.with_name("job.yaml")
    job.write_text(JOB, encoding="utf-8")
    lines = run("inspect", job).output.splitlines()
    (head,) = [line for line in lines if line.startswith("head")]
    assert head.split() == ["head", "Conv", "fp32"]
    assert any(line.startswith("the job leaves") for line in lines)


def test_inspect_for_another_framework(run: Any, saved_cnn: Path) -> None:
    data = json.loads(run("inspect", saved_cnn, "--framework", "onnxrt_integerops", "--op", "fc", "--json").output)
    assert {p["mode"] for p in data["rows"][0]["precisions"]} == {"dynamic", "fp32"}


def test_inspect_of_a_missing_model(run: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        run("inspect", tmp_path / "missing.onnx")


def test_doctor_names_versions_and_adaptors(run: Any) -> None:
    data = json.loads(run("doctor", "--json").output)
    assert data["adaptors"]["onnxrt_qdq"]["usable"] is True
    assert set(data["adaptors"]["onnxrt_qdq"]["versions"]) == {"onnx", "onnxruntime"}
    assert data["probed"]["onnxrt_qdq"]["cells"] == []


def test_doctor_says_how_to_probe(run: Any) -> None:
    assert "autoq doctor --probe" in run("doctor").output


def test_doctor_probes_and_remembers(run: Any) -> None:
    probed = json.loads(run("doctor", "--probe", "--json").output)["probed"]["onnxrt_qdq"]
    assert all(cell["quantized"] for cell in probed["cells"])
    assert Path(probed["cache"]).is_file()
    assert json.loads(run("doctor", "--json").output)["probed"]["onnxrt_qdq"] == probed


def test_doctor_gives_the_command_for_what_is_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise MissingDependencyError(f"framework '{name}' needs onnx", hint="pip install 'autoq[onnxrt]'")

    monkeypatch.setattr(doctor, "make_adaptor", missing)
    data = json.loads(run("doctor", "--json").output)
    assert data["adaptors"]["onnxrt_qdq"] == {
        "usable": False,
        "versions": {},
        "missing": "pip install 'autoq[onnxrt]'",
        "notes": ["framework 'onnxrt_qdq' needs onnx"],
    }


def test_cpu_flags_are_read_and_may_be_unknown(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: X\nflags\t\t: sse avx2 avx512_vnni\n", encoding="utf-8")
    assert doctor.cpu_flags(info) == {"sse", "avx2", "avx512_vnni"}
    assert doctor.cpu_flags(tmp_path / "none") == frozenset()
