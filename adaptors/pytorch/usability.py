"""Whether the packages a PyTorch route needs are here; imports none of them."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Mapping

from autoq.core.adaptor import Usability

TESTED: Mapping[str, str] = {"torch": "2.13", "torchao": "0.18"}
"""Versions everything was measured with; kernels and accuracy may differ in others."""

_EAGER = "torch/ao/quantization/__init__.py"


def compiler() -> str | None:
    """The C++ compiler that torch would use, or None when there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")


def usability(*packages: str, eager_quantization: bool) -> Usability:
    """Versions, what is missing, and what else a user should know.

    Args:
        packages: Packages the route needs.
        eager_quantization: Whether it needs ``torch.ao.quantization``, which is to leave torch.
    """
    versions = {name: _version(name) for name in packages}
    notes = [
        f"tested with {name} {tested}, and this is {found}: speed and accuracy may differ"
        for name, tested in TESTED.items()
        if (found := versions.get(name)) is not None and not f"{found}.".startswith(f"{tested}.")
    ]
    if compiler() is None:
        notes.append("there is no C++ compiler (g++, or CXX in the environment): nothing is compiled")
    gone = eager_quantization and versions.get("torch") is not None and not _has_eager()
    if gone:
        notes.append("this version of torch has no torch.ao.quantization any more: use pytorch_pt2e")
    missing = None in versions.values()
    return Usability(
        not missing and not gone, versions, "pip install 'autoq[pytorch]'" if missing else "", tuple(notes)
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_eager() -> bool:
    files = importlib.metadata.files("torch")
    return files is None or any(str(file) == _EAGER for file in files)
