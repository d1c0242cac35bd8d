"""Changes to an ONNX model that keep it a readable file: fields cleared, copied, moved, or set to odd values."""

from __future__ import annotations

import random
from typing import Any

import onnx

_NUMBERS = (0, 1, -1, 2, 3, 7, 8, 255, 2**31 - 1, -(2**31), 2**40, 2**63 - 1)
_TEXTS = (
    "",
    "image",
    "c1",
    "r1",
    "logits",
    "conv1.weight",
    "Conv",
    "Relu",
    "Gemm",
    "MatMul",
    "If",
    "Loop",
    "é",
    "a" * 300,
)


def mutate(data: bytes, seed: int) -> bytes:
    """One to three fields changed, chosen by the seed."""
    choice = random.Random(seed)
    model = onnx.load_model_from_string(data)
    for _ in range(choice.randint(1, 3)):
        fields = _fields(model)
        if fields:
            # Fields near the top are few and matter most: both levels get their share.
            shallow = [f for f in fields if f[2] <= 3]
            _change(*choice.choice(shallow if shallow and choice.random() < 0.4 else fields)[:2], choice)
    return bytes(model.SerializeToString())


def _fields(message: Any, depth: int = 0) -> list[tuple[Any, Any, int]]:
    found = []
    for descriptor, value in message.ListFields():
        found.append((message, descriptor, depth))
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for inner in value if descriptor.is_repeated else [value]:
                found += _fields(inner, depth + 1)
    return found


def _change(message: Any, descriptor: Any, choice: random.Random) -> None:
    name = descriptor.name
    if not descriptor.is_repeated:
        if descriptor.type == descriptor.TYPE_MESSAGE or choice.random() < 0.2:
            message.ClearField(name)
        else:
            setattr(message, name, _value(descriptor, getattr(message, name), choice))
        return
    values = getattr(message, name)
    place = choice.randrange(len(values))
    kind = choice.choice(("remove", "repeat", "swap", "set"))
    if kind == "remove":
        del values[place]
    elif kind == "repeat":
        values.append(values[place])
    elif kind == "swap":
        kept = list(values)
        choice.shuffle(kept)
        message.ClearField(name)
        values.extend(kept)
    elif descriptor.type != descriptor.TYPE_MESSAGE:
        values[place] = _value(descriptor, values[place], choice)


def _value(descriptor: Any, old: Any, choice: random.Random) -> Any:
    if descriptor.type == descriptor.TYPE_STRING:
        return choice.choice(_TEXTS)
    if descriptor.type == descriptor.TYPE_BYTES:
        cut = choice.randrange(len(old) + 1)
        return choice.choice((old[:cut], old + b"\x00", b"", bytes(choice.randrange(256) for _ in old)))
    if descriptor.cpp_type in (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE):
        return choice.choice((0.0, -1.0, 1e38, float("inf"), float("nan")))
    if descriptor.cpp_type == descriptor.CPPTYPE_ENUM:
        return choice.choice([v.number for v in descriptor.enum_type.values])
    low, high = (-(2**31), 2**31 - 1) if descriptor.cpp_type == descriptor.CPPTYPE_INT32 else (-(2**63), 2**63 - 1)
    if descriptor.cpp_type in (descriptor.CPPTYPE_UINT32, descriptor.CPPTYPE_UINT64):
        low = 0
    return choice.choice([n for n in _NUMBERS if low <= n <= high])
