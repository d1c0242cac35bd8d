"""Whatever happened to a job file or a model, loading it works or says what is wrong."""

from __future__ import annotations

import contextlib
import functools

import mutate_onnx
import pytest
import small_onnx
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoq.config.files import check_files
from autoq.config.loader import load_job
from autoq.config.rules import budget, space
from autoq.core.errors import AutoqError
from autoq.tuning.assemble import settings_of, workbench_of

PIECES = (
    *(bytes([b]) for b in b"[]{}:,&*!|>'\"%@`#-?\t\n ~0"),
    b"null", b"no", b"010", b"1e-3", b".inf", b".nan", b"-1", b"1.5", b"''", b"9" * 30, b"*x", b"<<: ", b"\xff",
    b"\x00", b"toy", b"path", b"digits.npz", b"job.yaml", b"agreement", b"image", b"0.0", b"true", b"\xc3\xa9",
)  # fmt: skip

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    small_onnx.write_job(folder)
    (folder / "digits.onnx").write_bytes(small_onnx.tiny_model())
    small_onnx.write_data(folder, samples=40)
    return folder


@functools.cache
def job_text() -> bytes:
    data = small_onnx.job_data(
        quantization__op_wise={"conv1": {"weight": {"granularity": "per_channel"}}},
        evaluation__accuracy__postprocess=["softmax"],
    )
    return yaml.safe_dump(data, sort_keys=False).encode()


def load(path) -> None:
    """What `autoq tune` does before anything is tried. Any other exception than an AutoqError fails the test."""
    with contextlib.suppress(AutoqError):
        job = load_job(path)
        check_files(job)
        settings_of(job)
        budget(job)
        description = workbench_of(job).describe()
        space(job, description.table)


@st.composite
def mutations(draw: st.DrawFn, pieces: tuple[bytes, ...], most: int) -> list[tuple[float, int, bytes | float]]:
    """Where (as a share of the length), how many bytes go, and what comes in their place: bytes, or a copied part."""
    new = st.sampled_from(pieces) | st.binary(max_size=4) | st.floats(0, 1)
    return draw(
        st.lists(st.tuples(st.floats(0, 1), st.sampled_from((0, 0, 1, 2, 8, 40)), new), min_size=1, max_size=most)
    )


def mutated(data: bytes, changes: list[tuple[float, int, bytes | float]]) -> bytes:
    for place, gone, new in changes:
        start = int(place * len(data))
        if isinstance(new, float):
            other = int(new * len(data))
            new = data[other : other + 12]
        data = data[:start] + new + data[start + gone :]
    return data


@pytest.fixture
def quiet(capfd):
    """ONNX Runtime writes its own opinion of broken models to standard error."""
    yield
    capfd.readouterr()


def test_the_unchanged_job_loads(folder):
    (folder / "job.yaml").write_bytes(job_text())
    job = load_job(folder / "job.yaml")
    assert len(workbench_of(job).describe().table) == 3


@settings(COMMON, max_examples=400)
@given(mutations(PIECES, 3))
def test_a_mutated_job_file_loads_or_is_refused(folder, quiet, changes):
    path = folder / "mutated.yaml"
    path.write_bytes(mutated(job_text(), changes))
    load(path)


def load_model(folder, data: bytes) -> None:
    (folder / "mutated.onnx").write_bytes(data)
    path = folder / "model.yaml"
    path.write_bytes(job_text().replace(b"digits.onnx", b"mutated.onnx"))
    load(path)


@settings(COMMON, max_examples=200)
@given(mutations((b"\x00", b"\xff", b"\x08\x01", b"\x12\x00", b"\x7f", b"conv1", b"Relu", b"Gemm", b"image"), 4))
def test_a_model_with_changed_bytes_loads_or_is_refused(folder, quiet, changes):
    load_model(folder, mutated(small_onnx.tiny_model(), changes))


@settings(COMMON, max_examples=400)
@given(st.integers(0, 2**32))
def test_a_model_with_changed_fields_loads_or_is_refused(folder, quiet, seed):
    load_model(folder, mutate_onnx.mutate(small_onnx.tiny_model(), seed))
