"""Prepares the examples: models, data and job files, once.

python -m examples.onnxrt.prepare [NAME ...]
"""

from __future__ import annotations

import argparse
import sys

from examples.assets import AssetError, announce, fetch
from examples.onnxrt import prepare_efficientnet_lite0, prepare_minilm, prepare_ocr

_PREPARATIONS = {
    "efficientnet-lite0": prepare_efficientnet_lite0.main,
    "minilm": prepare_minilm.main,
    "ppocr": prepare_ocr.main,
    "magika": lambda: fetch("magika"),
}

_ASSETS = {
    "efficientnet-lite0": ("efficientnet-lite0", "efficientnet-lite-code", "foolbox", "scikit-image"),
    "minilm": ("minilm", "word-similarity"),
    "ppocr": ("ppocr",),
    "magika": ("magika",),
}


def main() -> int:
    """Prepare what the command line names, or everything."""
    parser = argparse.ArgumentParser(description="Prepare models, data and job files of the examples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(_PREPARATIONS)}; all by default")
    names = parser.parse_args().names or list(_PREPARATIONS)
    unknown = [n for n in names if n not in _PREPARATIONS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; known: {', '.join(_PREPARATIONS)}")
    announce([asset for name in names for asset in _ASSETS[name]])
    try:
        for name in names:
            _PREPARATIONS[name]()
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
