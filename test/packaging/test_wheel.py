"""The wheel and the sdist hold what they need, and the wheel works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
_SOURCES = ("autoq", "strategies", "adaptors", "yaml_templates")
_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in")

# Environment variables that would let the checkout, or the coverage tool's start-up hook, into the fresh environment.
_LEAKS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


@dataclass(frozen=True)
class Distributions:
    """A wheel and an sdist, built from a copy of the sources."""

    wheel: Path
    sdist: Path

    @property
    def installed(self) -> set[str]:
        """Files the wheel installs."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in _LEAKS}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in _SOURCES:
        shutil.copytree(
            _REPOSITORY / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in _FILES:
        if (_REPOSITORY / name).is_file():
            shutil.copy(_REPOSITORY / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Distributions(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))


@pytest.fixture(scope="session")
def python(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment: the wheel, and the dependencies of the one the tests run in."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-deps"),
            *("--no-index", "--disable-pip-version-check", str(built.wheel)),
        ],
        env=_environment(),
        check=True,
    )
    # Dependencies come from the current environment, after the wheel on the path. A plain path in a .pth file does
    # not run the .pth files of the folder it names, so that the editable install of the checkout stays out.
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}, scheme="venv"))
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n")
    return interpreter


def _run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), *arguments], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )


def _top_level_sources() -> set[str]:
    """Every Python file of the four folders, by the path it is installed under."""
    found = set()
    for name in _SOURCES:
        root = _REPOSITORY / name
        for path in root.rglob("*.py"):
            # The links of the checkout lead to the other three folders, which are walked on their own.
            if name == "autoq" and path.relative_to(root).parts[0] in _SOURCES:
                continue
            inside = path.relative_to(_REPOSITORY).as_posix()
            found.add(inside if name == "autoq" else f"autoq/{inside}")
    return found


def test_the_wheel_holds_every_module_inside_autoq(built: Distributions) -> None:
    modules = {f for f in built.installed if f.endswith(".py")}
    assert modules == _top_level_sources()


def test_the_wheel_installs_one_top_level_package(built: Distributions) -> None:
    assert {f.partition("/")[0] for f in built.installed if ".dist-info/" not in f} == {"autoq"}


@pytest.mark.parametrize(
    "name",
    ["autoq/py.typed", "autoq/adaptors/onnxrt/capability.yaml", "autoq/yaml_templates/onnxrt_qdq_static.yaml"],
)
def test_the_wheel_holds_data_files(built: Distributions, name: str) -> None:
    assert name in built.installed


def test_the_wheel_holds_every_data_file_of_the_sources(built: Distributions) -> None:
    missing = set()
    for name in _SOURCES:
        for path in (_REPOSITORY / name).rglob("*"):
            inside = path.relative_to(_REPOSITORY).as_posix()
            target = inside if name == "autoq" else f"autoq/{inside}"
            data = path.is_file() and path.suffix not in (".py", ".pyc", ".md") and not path.name.startswith(".")
            if data and target not in built.installed:
                missing.add(target)
    assert missing == set()


def test_the_wheel_carries_the_licence(built: Distributions) -> None:
    assert any(f.endswith("licenses/LICENSE") for f in built.installed)


def test_the_sdist_holds_the_sources_of_the_wheel(built: Distributions) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert {"setup.py", "strategies/basic.py", "adaptors/onnxrt/capability.yaml", "LICENSE"} <= names


def test_the_installed_package_is_the_wheel(python: Path, tmp_path: Path) -> None:
    done = _run(
        python, tmp_path, "-c", "import autoq, autoq.strategies; print(autoq.__file__, autoq.strategies.__file__)"
    )
    assert done.stderr == ""
    assert all(Path(file).is_relative_to(python.parents[1]) for file in done.stdout.split())


def test_the_installed_command_runs(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(python.with_name("autoq")), "--help"],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tune" in done.stdout


def test_every_registered_strategy_and_adaptor_is_installed(python: Path, tmp_path: Path) -> None:
    code = (
        "from autoq.core.registry import ADAPTORS, STRATEGIES, make_adaptor, strategy_factory\n"
        "print(all(make_adaptor(n) for n in ADAPTORS) and all(strategy_factory(n) for n in STRATEGIES))"
    )
    done = _run(python, tmp_path, "-c", code)
    assert done.stdout.strip() == "True", done.stderr


def test_the_installed_store_migrates(python: Path, tmp_path: Path) -> None:
    code = "from pathlib import Path; from autoq.store.repository import Store; Store.open(Path('work')); print('ok')"
    done = _run(python, tmp_path, "-c", code)
    assert done.stdout.strip() == "ok", done.stderr


def test_an_installed_template_becomes_a_valid_job(python: Path, tmp_path: Path) -> None:
    done = _run(
        python,
        tmp_path,
        "-c",
        "from autoq.yaml_templates.catalog import templates; from autoq.config.loader import parse_job; "
        "from pathlib import Path; print(len([parse_job(t.text, t.name, Path()) for t in templates()]) > 2)",
    )
    assert done.stdout.strip() == "True", done.stderr
