"""What a plain YAML scalar means, without the surprises of YAML 1.1.

Numbers, ``true``, ``false`` and ``null`` mean what they do in YAML 1.2, so ``1e-3`` is a number. A
scalar that YAML 1.1 and 1.2 read differently is refused with what to write instead, because a job that
means one thing here and another in the next tool is worse than an error.
"""

from __future__ import annotations

import math
import re

Scalar = None | bool | int | float | str


class TrapError(ValueError):
    """A scalar whose meaning depends on the reader; carries what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.ASCII | re.IGNORECASE)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+", re.ASCII)
_OTHER_BASE = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)", re.ASCII)
_UNDERSCORED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?", re.ASCII | re.DOTALL)


def resolve_plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        TrapError: Readers disagree about it, or it is no finite number of 64 bits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text.lower() in _WORDS:
        raise TrapError(f"'{text}' is a truth value to some YAML readers and text to others", _either(text))
    # The length guards the conversions below: Python refuses, or is slow on, thousands of digits.
    if len(text) > 64 or text[0] not in "+-.0123456789":
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> Scalar:
    if _INT.fullmatch(text):
        value = int(text)
        if not -(2**63) <= value < 2**63:
            raise TrapError(f"{text} does not fit 64 bits", "write a smaller number, or quote it to make it text")
        return value
    if _LEADING_ZERO.fullmatch(text):
        digits = text.replace("_", "").lstrip("+-0") or "0"
        octal = "" if set(digits) & set("89") else f" (or {int(digits, 8)}, if octal is meant)"
        raise TrapError(
            f"{text} is octal to some YAML readers and decimal to others",
            f'write {digits}{octal} for the number, or "{text}" for the text',
        )
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise TrapError(f"{text} is too large for a number", "write a smaller number")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise TrapError(f"{text} is not a finite number", "leave the key out where no limit is meant")
    if _OTHER_BASE.fullmatch(text):
        raise TrapError(
            f"{text} is a number to some YAML readers and text to others",
            f'write the number in decimal, or "{text}" for the text',
        )
    if _UNDERSCORED.fullmatch(text):
        raise TrapError(
            f"{text} is a number to some YAML readers and text to others",
            f'write {text.replace("_", "")} for the number, or "{text}" for the text',
        )
    if _SEXAGESIMAL.fullmatch(text):
        raise TrapError(
            f"{text} is a number in base 60 to some YAML readers and text to others",
            f'write the number in decimal (seconds, for a time), or "{text}" for the text',
        )
    if _DATE.fullmatch(text):
        raise TrapError(f"{text} is a date to some YAML readers and text to others", f'write "{text}" for the text')
    return text


def _either(word: str) -> str:
    return f'write {_WORDS[word.lower()]} for the truth value, or "{word}" for the text'
