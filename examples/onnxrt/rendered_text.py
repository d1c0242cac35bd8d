"""Rendered text: images whose labels are exactly known, drawn with the font Pillow ships."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

_VOCABULARY = (
    "account amount annual answer battery before bicycle bottle bridge building camera careful center certain "
    "chapter circle coffee common control copper country credit current customer danger delivery deposit detail "
    "dollar double driver edition energy engine evening example express factory family figure finger flight forest "
    "freight garden general gravel harbor height history hotel island journey kitchen language letter library "
    "limited machine market measure member metal minute mirror model morning mountain narrow nature number office "
    "orange order packet paper payment pencil people period platform pocket police power price product quality "
    "quarter railway receipt record report result return river school season second serial service silver simple "
    "single special square station street summer supply system table ticket timber total travel union value "
    "vehicle version village volume warning weight window winter yellow"
)
_WORDS = _VOCABULARY.split()


def random_text(rng: np.random.Generator) -> str:
    """A word, a number, or both joined; no spaces, which recognizers of this family drop."""
    word = str(rng.choice(_WORDS))
    word = (word, word.capitalize(), word.upper())[int(rng.integers(3))]
    number = str(rng.integers(10, 10_000))
    return (word, number, f"{word}{number}", f"{word}-{number}")[int(rng.integers(4))]


def render_line(text: str, height: int, width: int, rng: np.random.Generator) -> Pixels:
    """``[height, at most width, 3]``: one line of text in random grey on random paper, cut to its length."""
    paper, ink = _tones(rng)
    size = height * rng.uniform(0.5, 0.7)
    left, right = rng.uniform(4, 8, 2)
    font = ImageFont.load_default(size)
    while font.getlength(text) > width - left - right:
        size *= 0.9
        font = ImageFont.load_default(size)
    image = Image.new("L", (int(left + font.getlength(text) + right), height), paper)
    ImageDraw.Draw(image).text((left, height / 2), text, fill=ink, font=font, anchor="lm")
    return _noisy(image, rng)


def pad_line(line: Pixels, width: int) -> Pixels:
    """The line at the left of `width` pixels, the rest middle grey (about 0 once normalized), as PP-OCR was trained."""
    return np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=127)


def render_page(side: int, rng: np.random.Generator) -> Pixels:
    """``[side, side, 3]``: lines of text of several sizes."""
    paper, ink = _tones(rng)
    image = Image.new("L", (side, side), paper)
    draw = ImageDraw.Draw(image)
    y = rng.uniform(0, 20)
    while y < side - 16:
        size = rng.uniform(12, 36)
        text = " ".join(random_text(rng) for _ in range(int(rng.integers(1, 4))))
        draw.text((rng.uniform(0, side / 3), y), text, fill=ink, font=ImageFont.load_default(size))
        y += size * rng.uniform(1.3, 2.5)
    return _noisy(image, rng)


def normalize(pixels: Pixels) -> NDArray[np.float32]:
    """``[n, h, w, 3]`` bytes → ``[n, 3, h, w]`` float32 in -1 to 1."""
    return np.ascontiguousarray((pixels.astype(np.float32) / 127.5 - 1.0).transpose(0, 3, 1, 2))


def _tones(rng: np.random.Generator) -> tuple[int, int]:
    light, dark = int(rng.integers(170, 256)), int(rng.integers(0, 90))
    return (light, dark) if rng.random() < 0.8 else (dark, light)


def _noisy(image: Image.Image, rng: np.random.Generator) -> Pixels:
    grey = np.asarray(image, np.float64)
    grey = grey + rng.normal(0, rng.uniform(0, 8), grey.shape)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
