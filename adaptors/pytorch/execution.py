"""What happens inside a model while it runs once: order, calls, and which module's result reaches which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from autoq.core.errors import ModelError

OUTPUT = "<output>"
"""Name of the last step, which takes what the model returns."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a leaf module, or of a tensor function outside of all leaf modules.

    Tensors are numbered as they appear; what a function writes in place has a new number afterwards.

    Attributes:
        name: Path of the module, or name of the function (``aten.add.Tensor``).
        is_module: Which of the two.
        inputs: Numbers of the tensors it takes.
        outputs: Numbers of the tensors it returns.
    """

    name: str
    is_module: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Execution:
    """One run of a model.

    Attributes:
        order: Paths of the leaf modules that ran, by their first call.
        calls: How often each of them was called.
        sources: For each, the leaf modules whose results reach it, through functionals and tensor methods as well.
        steps: Every call in order; the last takes what the model returns.
        lent: Leaf modules whose parameters are used outside of them as well (by an owner that reads ``child.weight``).
        reads_values: Whether Python looked at the value of a tensor: the way through may depend on the data.
    """

    order: tuple[str, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    lent: frozenset[str] = frozenset()
    reads_values: bool = False

    def edges(self, ops: Collection[str]) -> tuple[tuple[str, str], ...]:
        """Which of the named leaf modules feeds which; a path through modules that are not named counts.

        Edges run forward in execution order: what a module called twice feeds back to an earlier one is left out.
        """
        position = {path: i for i, path in enumerate(self.order)}
        found: list[tuple[str, str]] = []
        for consumer in (path for path in self.order if path in ops):
            waiting, seen = list(self.sources.get(consumer, ())), set()
            while waiting:
                path = waiting.pop()
                if path in seen:
                    continue
                seen.add(path)
                if path not in ops:
                    waiting.extend(self.sources.get(path, ()))
                elif position[path] < position[consumer]:
                    found.append((path, consumer))
        found.sort(key=lambda edge: (position[edge[1]], position[edge[0]]))
        return tuple(found)


def record(module: nn.Module, args: Sequence[Tensor], kwargs: Mapping[str, Tensor]) -> tuple[Any, Execution]:
    """Run a module once and see what happens inside. It is run as it is: hand over a copy.

    Returns:
        What ``forward`` returned, and how it went.

    Raises:
        ModelError: It failed, with the path of the module where it did.
    """
    paths = _paths(module)
    recorder = _Recorder(_owners(paths))
    handles = []
    for child, path in paths.items():
        if not is_plain_module(child):
            continue
        leaf = not any(True for _ in child.children())
        handles.append(child.register_forward_pre_hook(recorder.entering(path, leaf), with_kwargs=True))
        handles.append(child.register_forward_hook(recorder.leaving(path, leaf)))
    try:
        with recorder:
            raw = module(*args, **kwargs)
    except ModelError:
        raise
    except Exception as error:
        place = recorder.stack[-1][0] if recorder.stack else ""
        raise ModelError(
            f"the model fails on the example batch: {type(error).__name__}: {first_line(error)}",
            where=place or type(module).__name__,
            hint=f"it was given {describe(args, kwargs)}; check the inputs, their order, shapes and dtypes",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    recorder.returned([t for t in tree_leaves(_plain(raw)) if isinstance(t, Tensor)])
    return raw, recorder.execution()


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def describe(args: Sequence[Tensor], kwargs: Mapping[str, Tensor]) -> str:
    """Dtypes and shapes of arguments, for messages."""
    parts = [_form(a) for a in args] + [f"{name}={_form(a)}" for name, a in kwargs.items()]
    return ", ".join(parts)


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Follows tensors through modules and tensor functions."""

    def __init__(self, owners: Mapping[int, tuple[str, ...]]) -> None:
        super().__init__()
        self.stack: list[tuple[str, bool]] = []
        self._owners = owners
        self._numbers = WeakTensorKeyDictionary()
        self._count = 0
        self._taken: tuple[int, ...] = ()
        self._steps: list[Step] = []
        self._lent: set[str] = set()
        self._reads_values = False
        self._inside = 0
        self._calls: dict[str, int] = {}
        self._sources: dict[str, dict[str, None]] = {}
        self._origins = WeakTensorKeyDictionary()  # the leaf modules behind each tensor

    def entering(self, path: str, leaf: bool) -> Any:
        def hook(_module: nn.Module, args: Any, kwargs: Any) -> None:
            self.stack.append((path, leaf))
            if leaf and self._inside == 0:
                tensors = [t for t in tree_leaves(_plain((args, kwargs))) if isinstance(t, Tensor)]
                self._calls[path] = self._calls.get(path, 0) + 1
                sources = self._sources.setdefault(path, {})
                sources.update(dict.fromkeys(self._origins_of(tensors)))
                self._taken = self._numbered(tensors)
            self._inside += leaf

        return hook

    def leaving(self, path: str, leaf: bool) -> Any:
        def hook(_module: nn.Module, _args: Any, result: Any) -> None:
            self.stack.pop()
            self._inside -= leaf
            if leaf and self._inside == 0:
                tensors = [t for t in tree_leaves(_plain(result)) if isinstance(t, Tensor)]
                for tensor in tensors:
                    self._origins[tensor] = (path,)
                self._steps.append(Step(path, True, self._taken, self._numbered(tensors)))

        return hook

    def returned(self, tensors: Sequence[Tensor]) -> None:
        """Note what the model returns."""
        self._steps.append(Step(OUTPUT, False, self._numbered(tensors), ()))

    def execution(self) -> Execution:
        """What was seen."""
        return Execution(
            tuple(self._calls),
            dict(self._calls),
            {path: tuple(found) for path, found in self._sources.items()},
            tuple(self._steps),
            frozenset(self._lent),
            self._reads_values,
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [t for t in tree_leaves((args, kwargs or {})) if isinstance(t, Tensor)]
        self._note_lent(inputs)
        self._reads_values |= torch.Tag.data_dependent_output in func.tags
        if self._inside:
            return func(*args, **(kwargs or {}))
        taken = self._numbered(inputs)
        result = func(*args, **(kwargs or {}))
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        self._steps.append(Step(str(func), False, taken, self._numbered(outputs)))
        origins = tuple(dict.fromkeys(self._origins_of(inputs)))
        if origins:
            for tensor in outputs:
                self._origins[tensor] = origins
        return result

    def _numbered(self, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        found = []
        for tensor in tensors:
            version, number = self._numbers.get(tensor, (None, 0))
            if version != tensor._version:
                self._count += 1
                number = self._count
                self._numbers[tensor] = (tensor._version, number)
            found.append(number)
        return tuple(found)

    def _note_lent(self, tensors: Sequence[Tensor]) -> None:
        running = next((path for path, leaf in reversed(self.stack) if leaf), None)
        for tensor in tensors:
            owners = self._owners.get(id(tensor), ())
            if owners and running not in owners:
                self._lent.update(owners)

    def _origins_of(self, tensors: Sequence[Tensor]) -> list[str]:
        return [path for tensor in tensors for path in self._origins.get(tensor, ())]


def _paths(module: nn.Module) -> dict[nn.Module, str]:
    # A module reachable by two names goes by the first.
    return {child: path for path, child in module.named_modules()}


def _owners(paths: Mapping[nn.Module, str]) -> dict[int, tuple[str, ...]]:
    """The leaf modules that hold a parameter, by its id."""
    found: dict[int, tuple[str, ...]] = {}
    for child, path in paths.items():
        if not any(True for _ in child.children()):
            for parameter in child.parameters(recurse=False):
                found[id(parameter)] = (*found.get(id(parameter), ()), path)
    return found


def _plain(value: Any) -> Any:
    """Nested containers pytree does not know (dataclasses, ModelOutput) as lists."""
    if isinstance(value, Mapping):
        return [_plain(v) for v in value.values()]
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if not isinstance(value, Tensor) and hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return [_plain(getattr(value, name)) for name in value.__dataclass_fields__]
    return value


def _form(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


def is_plain_module(module: nn.Module) -> bool:
    """Whether Python code runs inside it, so that hooks on its children are called."""
    return not isinstance(module, torch.jit.ScriptModule)
