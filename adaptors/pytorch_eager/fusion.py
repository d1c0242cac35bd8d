"""Which modules are one op: found from what feeds what when the model runs, never from names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import nn

from autoq.adaptors.pytorch.execution import Execution, Step
from autoq.adaptors.pytorch_eager.kinds import Kind, has_hooks, kind_of, obstacle
from autoq.adaptors.pytorch_eager.preparation import PaddedConvolution

INPUT, OUTPUT = "input", "output"


class Activation(StrEnum):
    """What an op ends with."""

    RELU = "relu"
    RELU6 = "relu6"


@dataclass(frozen=True)
class EagerOp:
    """A quantizable module with what is fused into it.

    Attributes:
        id: Op id: its path in the user's model; its class where it is the whole model.
        path: Path of the module in the base model.
        kind: Its kind.
        norm: Path of the batch norm that is folded into its weights.
        activation: What its quantized form ends with.
        spare: Path of the module that the activation makes superfluous; None when others use it, or it is a function:
            then it stays, and changes nothing.
        calls: How often it is called in one run.
        source: Name of the tensor it reads; see `Fusion.tensors`.
        result: The tensor it makes.
        feeds: Ops that take its very result, when nobody else does; empty otherwise.
        obstacle: Why it has no quantized form; empty when it has one.
    """

    id: str
    path: str
    kind: Kind
    norm: str | None
    activation: Activation | None
    spare: str | None
    calls: int
    source: str
    result: str
    feeds: tuple[str, ...]
    obstacle: str


@dataclass(frozen=True)
class Fusion:
    """The ops of a model.

    Attributes:
        ops: In execution order, by id.
        tensors: Where to observe a tensor: path of a module, and whether its input or its output.
        edges: Which op feeds which.
    """

    ops: Mapping[str, EagerOp]
    tensors: Mapping[str, tuple[str, str]]
    edges: tuple[tuple[str, str], ...]


def find_ops(module: nn.Module, execution: Execution) -> Fusion:
    """The quantizable ops of a module, from how it ran.

    Args:
        module: The module; it is only looked at.
        execution: One run of it.
    """
    modules = dict(module.named_modules())
    trail = _Trail(execution, modules)
    found: dict[str, EagerOp] = {}
    for path in execution.order:
        kind = kind_of(modules[path])
        if kind is not None:
            op = trail.op(path, kind)
            found[op.id] = op
    by_path = {op.path: op.id for op in found.values()}
    edges = tuple((by_path[a], by_path[b]) for a, b in execution.edges(frozenset(by_path)))
    return Fusion(found, trail.tensors, edges)


class _Trail:
    """Follows the tensors of one run."""

    def __init__(self, execution: Execution, modules: Mapping[str, nn.Module]) -> None:
        self.execution = execution
        self.modules = modules
        self.tensors: dict[str, tuple[str, str]] = {}
        self._uses: dict[int, list[Step]] = {}
        self._runs: dict[str, list[Step]] = {}
        self._names: dict[int, str] = {}
        self._makers: dict[int, Step] = {}
        for step in execution.steps:
            for number in step.inputs:
                self._uses.setdefault(number, []).append(step)
            if step.is_module:
                self._makers.update(dict.fromkeys(step.outputs, step))
                self._runs.setdefault(step.name, []).append(step)

    def op(self, path: str, kind: Kind) -> EagerOp:
        """The op that starts at a module."""
        runs, module = self._runs[path], self.modules[path]
        reason = obstacle(kind, module)
        if path in self.execution.lent:
            reason = reason or "its weight is also used outside of it"
        norm = activation = spare = None
        feeds: tuple[str, ...] = ()
        op_id = self._id(path)
        source, result = f"{op_id}.{INPUT}", f"{op_id}.{OUTPUT}"
        if len(runs) == 1 and len(runs[0].outputs) == 1:
            last = runs[0].outputs[0]
            norm, last = self._norm(module, kind, last)
            if kind.fused_class is not None and not reason:
                activation, spare, last = self._activation(last)
            if not self.execution.reads_values:
                feeds = self._feeds(last)
                self._names[last] = result
                source = self._source(runs[0], path, source)
        # The side of a fused op is observed on the module that takes its place.
        self.tensors.setdefault(source, (path, INPUT))
        self.tensors.setdefault(result, (path, OUTPUT))
        return EagerOp(op_id, path, kind, norm, activation, spare, len(runs), source, result, feeds, reason)

    def _source(self, run: Step, path: str, own: str) -> str:
        """The name of the tensor an op reads: of whoever made it, so that several readers share it, else its own."""
        if len(run.inputs) != 1:
            return own
        number = run.inputs[0]
        if number not in self._names:
            maker = self._makers.get(number)
            if maker is None or len(self._runs[maker.name]) > 1 or len(maker.outputs) > 1:
                name = own
                self.tensors[name] = (path, INPUT)
            else:
                name = f"{maker.name}.{OUTPUT}"
                self.tensors[name] = (maker.name, OUTPUT)
            self._names[number] = name
        return self._names[number]

    def _norm(self, module: nn.Module, kind: Kind, number: int) -> tuple[str | None, int]:
        """A batch norm that alone takes a tensor, and what it makes of it."""
        follower = self._only_use(number)
        if follower is None or not follower.is_module or len(self._runs[follower.name]) > 1:
            return None, number
        norm = self.modules[follower.name]
        if not _can_fold(module, kind, norm) or follower.name in self.execution.lent:
            return None, number
        return follower.name, follower.outputs[0]

    def _activation(self, number: int) -> tuple[Activation | None, str | None, int]:
        """A ReLU that alone takes a tensor, the module it makes superfluous, and what it makes of it."""
        follower = self._only_use(number)
        if follower is None or len(follower.outputs) != 1:
            return None, None, number
        if not follower.is_module:
            functional = Activation.RELU if follower.name in _RELU_FUNCTIONS else None
            return functional, None, follower.outputs[0] if functional else number
        kind = _ACTIVATIONS.get(type(self.modules[follower.name]))
        if kind is None or has_hooks(self.modules[follower.name]):
            return None, None, number
        spare = follower.name if len(self._runs[follower.name]) == 1 else None
        return kind, spare, follower.outputs[0]

    def _only_use(self, number: int) -> Step | None:
        uses = self._uses.get(number, [])
        return uses[0] if len(uses) == 1 and len(uses[0].inputs) == 1 else None

    def _feeds(self, number: int) -> tuple[str, ...]:
        """Ids of modules that take a tensor as their only input in their only call, when nobody else takes it."""
        uses = self._uses.get(number, [])
        alone = all(u.is_module and len(u.inputs) == 1 and len(self._runs[u.name]) == 1 for u in uses)
        return tuple(self._id(u.name) for u in uses) if alone else ()

    def _id(self, path: str) -> str:
        parent, _, name = path.rpartition(".")
        if name == "conv" and isinstance(self.modules[parent], PaddedConvolution):
            return parent
        return path or type(self.modules[path]).__name__


_ACTIVATIONS: Mapping[type[nn.Module], Activation] = {nn.ReLU: Activation.RELU, nn.ReLU6: Activation.RELU6}
_RELU_FUNCTIONS = frozenset({"aten.relu.default", "aten.relu_.default"})
_NORMS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.BatchNorm1d: ("Conv1d", "ConvTranspose1d"),
    nn.BatchNorm2d: ("Conv2d", "ConvTranspose2d"),
    nn.BatchNorm3d: ("Conv3d", "ConvTranspose3d"),
}


def _can_fold(module: nn.Module, kind: Kind, norm: nn.Module) -> bool:
    return (
        kind.name in _NORMS.get(type(norm), ())
        and norm.running_mean is not None
        and not has_hooks(norm)
        and not has_hooks(module)
    )
