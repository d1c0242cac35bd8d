"""YAML text → plain data and the place of everything in it. Knows nothing of the schema.

The parser's events are read one by one and not composed first, so that a document nested a thousand
deep or blown up through aliases is refused before it costs anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from autoq.config.positions import KeyPath, Mark, Origin
from autoq.config.problem import Problem, config_error
from autoq.config.scalars import TrapError, resolve_plain
from autoq.core.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 50_000

_MERGE = "<<"
_STR = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Document:
    """A job file, read.

    Attributes:
        data: Its content: mappings with text keys, lists and scalars.
        origin: Where everything stands.
        problems: What can be told without the schema: duplicate keys, ambiguous scalars.
    """

    data: dict[str, Any]
    origin: Origin
    problems: tuple[Problem, ...]


def decode(raw: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: Binary, too large, or not UTF-8; says where.
    """
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{len(raw):,} bytes are too many for a job file", where=name, hint="is this the right file?")
    zero = raw.find(b"\0")
    if zero >= 0:
        raise ConfigError(
            "this is a binary file, or text that is not UTF-8",
            where=f"{name}:{raw[:zero].count(10) + 1}:{zero - raw.rfind(10, 0, zero)}",
            hint="a job file is YAML text in UTF-8; `autoq init` writes one",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        raise ConfigError(
            f"byte 0x{raw[error.start]:02x} is not UTF-8",
            where=f"{name}:{before.count(10) + 1}:{error.start - before.rfind(10)}",
            hint="save the file as UTF-8",
        ) from None


def read_document(text: str, name: str) -> Document:
    """Read one YAML document whose root is a mapping.

    Raises:
        ConfigError: It is not YAML, is empty, not a mapping, too deep or too large, or several documents.
    """
    try:
        root = _Composer(name).compose(text)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, name) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, error.position - before.rfind("\n"))
        problem = Problem(
            f"the character {_code(text[error.position])} may not stand in a YAML file", "remove it", mark
        )
        raise config_error([problem], name) from None
    except (ValueError, OverflowError) as error:
        # PyYAML converts \U escapes and version numbers without a check of its own.
        raise ConfigError(f"an escape or number in this file is not valid: {error}", where=name) from None
    builder = _Builder()
    data = builder.build(root, ())
    if not isinstance(data, dict):
        found = "empty" if data is None and not builder.problems else f"{_kind(root)}, not a mapping of sections"
        raise config_error([Problem(f"the job is {found}", "`autoq init` writes a complete job file", root.mark)], name)
    return Document(data, Origin(name, builder.keys, builder.values), tuple(builder.problems))


@dataclass(eq=False)
class _ScalarNode:
    mark: Mark
    text: str
    plain: bool


@dataclass(eq=False)
class _ListNode:
    mark: Mark
    items: list[_Node] = field(default_factory=list)


@dataclass(eq=False)
class _MapNode:
    mark: Mark
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)


@dataclass(frozen=True)
class _Anchor:
    """A finished node, with what an alias of it costs."""

    node: _Node
    values: int
    height: int


_Node = _ScalarNode | _ListNode | _MapNode


def _kind(node: _Node) -> str:
    return {_ScalarNode: "a single value", _ListNode: "a list", _MapNode: "a mapping"}[type(node)]


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


class _Composer:
    """Events → nodes, with limits."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._anchors: dict[str, _Anchor] = {}
        self._values = 0
        self._deepest = 0

    def compose(self, text: str) -> _Node:
        events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        root: _Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fail("the file holds more than one YAML document", event, "keep one job per file")
                root = self._node(next(events), events, 0)
        return root or _ScalarNode(Mark(1, 1), "", True)

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        self._reach(depth, event)
        before, outer = self._values, self._deepest
        self._count(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._deepest = depth
        self._check_tag(event)
        mark = _mark(event.start_mark)
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            node = _ScalarNode(mark, event.value, event.style is None and event.tag is None)
            self._check_text(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = _ListNode(mark)
            while not isinstance(child := next(events), yaml.SequenceEndEvent):
                node.items.append(self._node(child, events, depth + 1))
        else:
            node = _MapNode(mark)
            while not isinstance(child := next(events), yaml.MappingEndEvent):
                key = self._node(child, events, depth + 1)
                node.pairs.append((key, self._node(next(events), events, depth + 1)))
        if event.anchor is not None:
            # Only a finished node may be named by an alias, so no node contains itself.
            self._anchors[event.anchor] = _Anchor(node, self._values - before, self._deepest - depth)
        self._deepest = max(outer, self._deepest)
        return node

    def _alias(self, event: Any, depth: int) -> _Node:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self._fail(f"the alias *{event.anchor} names no anchor before it", event, f"write &{event.anchor} first")
        self._count(anchor.values, event)
        self._reach(depth + anchor.height, event)
        return anchor.node

    def _reach(self, depth: int, event: Any) -> None:
        self._deepest = max(self._deepest, depth)
        if depth > MAX_DEPTH:
            self._fail(f"values are nested more than {MAX_DEPTH} deep", event, "a job needs about ten levels")

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._fail(
                f"the job holds more than {MAX_VALUES:,} values, aliases written out", event, "use fewer aliases"
            )

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", _STR):
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._fail(f"the tag {shown} is not allowed in a job", event, "write plain values")

    def _check_text(self, event: Any) -> None:
        bad = next((c for c in event.value if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            self._fail(f"the character {_code(bad)} may not stand in a job", event, "remove the escape")

    def _fail(self, message: str, event: Any, hint: str) -> NoReturn:
        raise config_error([Problem(message, hint, _mark(event.start_mark))], self._name)


class _Builder:
    """Nodes → plain data, with the place of everything and what is wrong with it."""

    def __init__(self) -> None:
        self.keys: dict[KeyPath, Mark] = {}
        self.values: dict[KeyPath, Mark] = {}
        self.problems: list[Problem] = []

    def build(self, node: _Node, path: KeyPath) -> Any:
        self.values[path] = node.mark
        if isinstance(node, _ScalarNode):
            return self._scalar(node)
        if isinstance(node, _ListNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.items)]
        return self._mapping(node, path)

    def _scalar(self, node: _ScalarNode) -> Any:
        if not node.plain:
            return node.text
        try:
            return resolve_plain(node.text)
        except TrapError as error:
            self.problems.append(Problem(error.message, error.hint, node.mark))
            return None

    def _mapping(self, node: _MapNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        own: dict[str, Mark] = {}
        for key, value in node.pairs:
            if not isinstance(key, _ScalarNode) or not key.text:
                what = "empty" if isinstance(key, _ScalarNode) else _kind(key)
                self.problems.append(Problem(f"a key is {what}, not text", "put the key's name in front", key.mark))
            elif key.plain and key.text == _MERGE:
                continue
            elif key.text in own:
                first = own[key.text]
                message = f"the key '{key.text}' stands here and in line {first.line}"
                self.problems.append(Problem(message, "keep one of them", key.mark))
            else:
                own[key.text] = key.mark
                self.keys[(*path, key.text)] = key.mark
                data[key.text] = self.build(value, (*path, key.text))
        for key, value in node.pairs:
            if isinstance(key, _ScalarNode) and key.plain and key.text == _MERGE:
                self._merge(value, data, path)
        return data

    def _merge(self, node: _Node, data: dict[str, Any], path: KeyPath) -> None:
        """Take over the keys of the mappings after ``<<`` that are not there yet."""
        for source in node.items if isinstance(node, _ListNode) else [node]:
            if not isinstance(source, _MapNode):
                message = "<< merges mappings, and this is " + _kind(source)
                self.problems.append(Problem(message, "name a mapping: <<: *anchor", source.mark))
                continue
            merged = _Builder()
            values = merged._mapping(source, path)
            self.problems.extend(merged.problems)
            new = {k: v for k, v in values.items() if k not in data}
            data.update(new)
            for places, taken in ((self.keys, merged.keys), (self.values, merged.values)):
                places.update({p: m for p, m in taken.items() if len(p) > len(path) and p[len(path)] in new})


def _syntax_error(error: yaml.MarkedYAMLError, text: str, name: str) -> ConfigError:
    position = error.problem_mark or error.context_mark
    mark = _mark(position) if position else None
    lines = text.splitlines()
    line = lines[mark.line - 1] if mark and mark.line <= len(lines) else ""
    if mark and "\t" in line[: mark.column] and not line[: mark.column].strip():
        problem = Problem("a tab: YAML indents with spaces only", "replace each tab by spaces", mark)
    else:
        started = f", {error.context}" if error.context else ""
        since = _mark(error.context_mark) if error.context_mark else None
        opened = f" that began in line {since.line}" if since and mark and since.line != mark.line else ""
        problem = Problem(f"this is not YAML: {error.problem}{started}{opened}", "check indentation and quotes", mark)
    return config_error([problem], name)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
