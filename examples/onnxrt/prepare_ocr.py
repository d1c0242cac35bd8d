"""PP-OCR's three networks (detection, recognition, orientation) with rendered text.

python -m examples.onnxrt.prepare_ocr
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from examples import assets
from examples.onnxrt.rendered_text import normalize, pad_line, random_text, render_line, render_page
from examples.prepared import prepare

_HERE = Path(__file__).parent

# Set name → samples.
_LINES = {"calibration": 64, "tune": 200, "held_out": 100}
_PAGES = {"calibration": 64, "tune": 48, "held_out": 24}

_PAGE_SIDE = 320


def build_recognition(folder: Path) -> None:
    """Text lines of 48×320 pixels and their texts; the network's alphabet, one symbol per line, blank first."""
    model = _copy_model("ch_PP-OCRv4_rec_infer.onnx", folder / "ppocr_rec.onnx")
    alphabet = next(p.value for p in onnx.load(model).metadata_props if p.key == "character")
    symbols = ["<blank>", *alphabet.split("\n"), " "]
    (folder / "alphabet.txt").write_text("\n".join(symbols) + "\n", encoding="utf-8")
    for seed, (name, count) in enumerate(_LINES.items()):
        rng = np.random.default_rng([1, seed])
        texts = [random_text(rng) for _ in range(count)]
        lines = np.stack([pad_line(render_line(text, 48, 320, rng), 320) for text in texts])
        np.savez(folder / f"{name}.npz", x=normalize(lines), texts=np.array(texts))
    shutil.copy(_HERE / "ppocr_rec.yaml", folder / "job.yaml")


def build_orientation(folder: Path) -> None:
    """Text lines of 48×192 pixels, half of them upside down (class 1)."""
    _copy_model("ch_ppocr_mobile_v2.0_cls_infer.onnx", folder / "ppocr_cls.onnx")
    for seed, (name, count) in enumerate(_LINES.items()):
        rng = np.random.default_rng([2, seed])
        turned = rng.integers(2, size=count)
        lines = [render_line(random_text(rng), 48, 192, rng) for _ in range(count)]
        padded = [pad_line(x[::-1, ::-1] if t else x, 192) for x, t in zip(lines, turned, strict=True)]
        np.savez(folder / f"{name}.npz", x=normalize(np.stack(padded)), turned=turned)
    shutil.copy(_HERE / "ppocr_cls.yaml", folder / "job.yaml")


def build_detection(folder: Path) -> None:
    """Pages of text, 320×320 pixels, no labels."""
    _copy_model("ch_PP-OCRv4_det_infer.onnx", folder / "ppocr_det.onnx")
    for seed, (name, count) in enumerate(_PAGES.items()):
        rng = np.random.default_rng([3, seed])
        pages = np.stack([render_page(_PAGE_SIDE, rng) for _ in range(count)])
        np.savez(folder / f"{name}.npz", x=normalize(pages))
    shutil.copy(_HERE / "ppocr_det.yaml", folder / "job.yaml")


def _copy_model(name: str, target: Path) -> Path:
    return Path(shutil.copy(assets.fetch("ppocr") / "rapidocr_onnxruntime" / "models" / name, target))


BUILDERS: dict[str, Callable[[Path], None]] = {
    "ppocr_rec": build_recognition,
    "ppocr_cls": build_orientation,
    "ppocr_det": build_detection,
}


def main() -> list[Path]:
    """Prepare the three once; returns the folders."""
    shared = (Path(__file__), _HERE / "rendered_text.py")
    return [
        prepare(name.replace("_", "-"), (*shared, _HERE / f"{name}.yaml"), build) for name, build in BUILDERS.items()
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
