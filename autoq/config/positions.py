"""Where each key and value of a job stands in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of a job to one value."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, eq=False)
class Origin:
    """The file a job was read from, and the place of everything in it.

    All origins are equal: where a job was written does not change what it says.

    Attributes:
        name: File name as the user gave it; empty for a job made in Python.
        keys: Place of the key that leads to a path; list items have none.
        values: Place of the value at a path.
    """

    name: str = ""
    keys: Mapping[KeyPath, Mark] = field(default_factory=dict)
    values: Mapping[KeyPath, Mark] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return hash(Origin)

    def mark(self, path: KeyPath, *, of_key: bool = False) -> Mark | None:
        """Place of a value (or of its key), else of the nearest section around it; None without a file."""
        found: KeyPath = ()
        missing = False
        for part in path:
            if (*found, part) in self.values:
                found = (*found, part)
            elif not isinstance(part, int):
                missing = True
                break
            # An index that is not in the file: a shorthand, whose one item stands in place of the list.
        if (of_key or missing) and found in self.keys:
            return self.keys[found]
        return self.values.get(found)

    def where(self, path: KeyPath, *, of_key: bool = False) -> str | None:
        """``file:line:column``, or None for a job that was not read from a file."""
        return place(self.name, self.mark(path, of_key=of_key)) if self.name else None


def place(name: str, mark: Mark | None) -> str:
    """``file:line:column``, or the name alone."""
    return f"{name}:{mark.line}:{mark.column}" if mark else name


def dotted(path: KeyPath) -> str:
    """``tuning.strategy.name``, with list indices as ``metric[0]``; keys with unusual characters in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("_", "").isalnum()
            text += f"{'.' if text else ''}{part}" if plain else f"[{part[:60]!r}]"
    return text
