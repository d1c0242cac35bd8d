"""The capability table after the job's model_wise, optype_wise and op_wise rules: what may be searched."""

from __future__ import annotations

import fnmatch
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from autoq.core.capability import CapabilityTable, Op, Recipe
from autoq.core.errors import ConfigError, ModelError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.suggest import did_you_mean

_FLOAT_DTYPES = frozenset({DType.FP32, DType.BF16, DType.FP16})


@dataclass(frozen=True)
class TensorRule:
    """Which quantizations of a tensor a job allows; ``None`` allows all."""

    dtype: tuple[DType, ...] | None = None
    scheme: tuple[Scheme, ...] | None = None
    granularity: tuple[Granularity, ...] | None = None
    observer: tuple[Observer, ...] | None = None

    def allows(self, quant: TensorQuant, *, observed: bool) -> bool:
        """Whether `quant` is allowed; its observer counts only where a range is `observed`."""
        return (
            (self.dtype is None or quant.dtype in self.dtype)
            and (self.scheme is None or quant.scheme in self.scheme)
            and (self.granularity is None or quant.granularity in self.granularity)
            and (not observed or self.observer is None or quant.observer in self.observer)
        )

    def overridden_by(self, other: TensorRule) -> TensorRule:
        """`other`'s keys where it has them, ours elsewhere."""
        values = {f.name: getattr(other, f.name) for f in fields(other) if getattr(other, f.name) is not None}
        return TensorRule(**{**{f.name: getattr(self, f.name) for f in fields(self)}, **values})

    @property
    def only_float(self) -> bool:
        """True when the rule asks for a float type and nothing else."""
        return self.dtype is not None and set(self.dtype) <= _FLOAT_DTYPES


@dataclass(frozen=True)
class OpRule:
    """What a job says of the ops a pattern matches.

    Attributes:
        weight: Rule for the weight.
        activation: Rule for the activation.
        modes: Allowed modes; ``None`` allows all the approach allows.
        fallback: False forbids float, so that the op stays quantized.
    """

    weight: TensorRule = TensorRule()
    activation: TensorRule = TensorRule()
    modes: tuple[Mode, ...] | None = None
    fallback: bool | None = None

    def overridden_by(self, other: OpRule) -> OpRule:
        """The more specific rule's keys win, key by key."""
        return OpRule(
            self.weight.overridden_by(other.weight),
            self.activation.overridden_by(other.activation),
            self.modes if other.modes is None else other.modes,
            self.fallback if other.fallback is None else other.fallback,
        )

    def narrow(self, precisions: Sequence[OpPrecision]) -> tuple[OpPrecision, ...]:
        """The allowed ones of `precisions`, in the same order."""
        float_only = self.weight.only_float or self.activation.only_float
        return tuple(
            p
            for p in precisions
            if (self._allows_float(p, float_only) if p.is_float else not float_only and self._allows(p))
        )

    def _allows_float(self, precision: OpPrecision, float_only: bool) -> bool:
        if float_only:
            wanted = {*(self.weight.dtype or ()), *(self.activation.dtype or ())}
            return DType(str(precision.mode)) in wanted
        return self.fallback is not False

    def _allows(self, p: OpPrecision) -> bool:
        if self.modes is not None and p.mode not in self.modes:
            return False
        if p.weight is not None and not self.weight.allows(p.weight, observed=True):
            return False
        return p.activation is None or self.activation.allows(p.activation, observed=p.mode is Mode.STATIC)


@dataclass(frozen=True)
class SpaceRules:
    """The job's say on the search space, from general to specific.

    Attributes:
        modes: What the approach allows, e.g. ``(Mode.STATIC,)``; float is always allowed beside it.
        model_wise: For every op.
        optype_wise: By op type; a name, wildcard or regular expression.
        op_wise: By op id; a name, wildcard or regular expression. ``re:`` in front forces the last.
    """

    modes: tuple[Mode, ...] | None = None
    model_wise: OpRule = OpRule()
    optype_wise: tuple[tuple[str, OpRule], ...] = ()
    op_wise: tuple[tuple[str, OpRule], ...] = ()


def match_names(pattern: str, names: Iterable[str], what: str) -> frozenset[str]:
    """The names a pattern means: the exact name, else a wildcard, else a regular expression (full match).

    Raises:
        ConfigError: Nothing matches, or the expression after ``re:`` is not one.
    """
    pool = list(dict.fromkeys(names))
    if pattern in pool:
        return frozenset({pattern})
    if not pattern.startswith("re:"):
        wild = frozenset(fnmatch.filter(pool, pattern)) if any(c in pattern for c in "*?[") else frozenset()
        if wild:
            return wild
    try:
        with warnings.catch_warnings():
            # Op names are full of brackets; what Python may make of them one day is not the user's concern.
            warnings.simplefilter("ignore", FutureWarning)
            expression = re.compile(pattern.removeprefix("re:"))
    except (re.error, OverflowError, RecursionError) as error:
        if pattern.startswith("re:"):
            raise ConfigError(f"'{pattern}' is not a regular expression: {error}") from error
    else:
        matched = frozenset(n for n in pool if expression.fullmatch(n))
        if matched:
            return matched
    raise ConfigError(f"{what} '{pattern}' matches nothing in this model", hint=did_you_mean(pattern, pool))


@dataclass(frozen=True)
class Unit:
    """Ops that change together, and the precisions all of them have, best first.

    A unit of one op carries that op's id; a group carries the group's name.
    """

    id: str
    ops: tuple[Op, ...]
    precisions: tuple[OpPrecision, ...]

    @property
    def type(self) -> str:
        """Op type, or types joined by ``+`` in order of appearance."""
        return "+".join(dict.fromkeys(op.type for op in self.ops))

    @property
    def float_index(self) -> int | None:
        """Index of the last float precision, or None when the job forbids float here."""
        return next((i for i in reversed(range(len(self.precisions))) if self.precisions[i].is_float), None)

    @property
    def is_quantizable(self) -> bool:
        """True when at least one precision is not float."""
        return not all(p.is_float for p in self.precisions)


@dataclass(frozen=True)
class Space:
    """What a strategy may choose: units in execution order, the edges between them, recipes.

    Build with `Space.of`; strategies read `units` (only those with a choice to make), `recipe_sets`, `plan`,
    `full_plan`.

    Attributes:
        units: What has a choice of precisions.
        edges: Which unit feeds which.
        recipes: What may act on a quantized plan as a whole, alternatives in the order they should be tried.
        fixed: Precision of the ops without a choice.
        float_recipes: Sets of recipes that are tried with every op in float before a search.
        notes: What a reader should know of what is left out.
    """

    units: tuple[Unit, ...]
    edges: tuple[tuple[str, str], ...] = ()
    recipes: tuple[Recipe, ...] = ()
    fixed: Mapping[str, OpPrecision] = field(default_factory=dict, hash=False)
    float_recipes: tuple[tuple[Recipe, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: CapabilityTable, rules: SpaceRules = SpaceRules()) -> Space:
        """Narrow a capability table by a job's rules.

        Raises:
            ConfigError: A pattern matches nothing, or an op_wise rule asks for what the op does not have.
            ModelError: No op is left that could be quantized.
        """
        allowed = _narrow(table, rules)
        members: dict[str, list[Op]] = {}
        unit_of: dict[str, str] = {}
        for row in table:
            unit = row.group if row.group is not None else row.op.id
            members.setdefault(unit, []).append(row.op)
            unit_of[row.op.id] = unit
        every: list[Unit] = []
        palettes: dict[tuple[OpPrecision, ...], tuple[OpPrecision, ...]] = {}  # units share few lists
        for name, ops in members.items():
            shared = [p for p in allowed[ops[0].id] if all(p in allowed[op.id] for op in ops[1:])]
            if not shared:
                raise ConfigError(
                    f"the ops of group '{name}' must share one precision, and the job leaves them none",
                    where=ops[0].id,
                    hint="give all of them the same op_wise rule: " + ", ".join(op.id for op in ops[:6]),
                )
            every.append(Unit(name, tuple(ops), palettes.setdefault(tuple(shared), tuple(shared))))
        if not any(u.is_quantizable for u in every):
            raise ModelError(
                "no op of this model can be quantized under this job's rules",
                hint="see `autoq inspect` for what each op supports; widen model_wise or choose another approach",
            )
        free = {u.id for u in every if len(u.precisions) > 1}
        edges = dict.fromkeys((unit_of[a], unit_of[b]) for a, b in table.edges if unit_of[a] != unit_of[b])
        return cls(
            tuple(u for u in every if u.id in free),
            tuple(e for e in edges if e[0] in free and e[1] in free),
            table.recipes,
            {op.id: u.precisions[0] for u in every if u.id not in free for op in u.ops},
            table.float_recipes,
        )

    @cached_property
    def by_id(self) -> Mapping[str, Unit]:
        """Unit by id."""
        return {u.id: u for u in self.units}

    @property
    def recipe_sets(self) -> tuple[tuple[Recipe, ...], ...]:
        """What any choice of precisions may be combined with: nothing first, then each recipe."""
        return (), *((recipe,) for recipe in self.recipes)

    @property
    def size(self) -> int:
        """Number of different plans."""
        return math.prod(len(u.precisions) for u in self.units) * len(self.recipe_sets)

    def plan(self, choices: Mapping[str, int], recipes: tuple[Recipe, ...] = ()) -> Plan:
        """The plan in which each named unit takes its n-th precision; the others take their first."""
        precisions = dict(self.fixed)
        for unit in self.units:
            chosen = unit.precisions[choices.get(unit.id, 0)]
            for op in unit.ops:
                precisions[op.id] = chosen
        return Plan(precisions, recipes)

    def choices(self, plan: Plan) -> dict[str, int]:
        """Inverse of `plan`.

        Raises:
            ConfigError: The plan does not lie in this space.
        """
        found: dict[str, int] = {}
        for unit in self.units:
            try:
                found[unit.id] = unit.precisions.index(plan[unit.ops[0].id])
            except ValueError:
                raise ConfigError(
                    f"plan {plan.digest} asks for {plan[unit.ops[0].id].label}, which this space does not have",
                    where=unit.id,
                ) from None
        reached = self.plan(found, plan.recipes)
        if reached != plan:
            odd = next(op for op in sorted({*plan, *reached}) if plan[op] != reached[op])
            raise ConfigError(
                f"plan {plan.digest} asks for {plan[odd].label}, where this space has only {reached[odd].label}",
                where=odd,
            )
        return found

    def __contains__(self, plan: object) -> bool:
        if not isinstance(plan, Plan) or plan.recipes not in self.recipe_sets:
            return False
        try:
            self.choices(plan)
        except ConfigError:
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "units": [
                {
                    "id": u.id,
                    "ops": [[op.id, op.type] for op in u.ops],
                    "precisions": [p.to_json() for p in u.precisions],
                }
                for u in self.units
            ],
            "edges": [list(e) for e in self.edges],
            "recipes": [r.to_json() for r in self.recipes],
            "fixed": {op: p.to_json() for op, p in self.fixed.items()},
            "float_recipes": [[r.to_json() for r in several] for several in self.float_recipes],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Space:
        """Rebuild from `to_json`."""
        return cls(
            tuple(
                Unit(
                    u["id"],
                    tuple(Op(a, b) for a, b in u["ops"]),
                    tuple(OpPrecision.from_json(p) for p in u["precisions"]),
                )
                for u in data["units"]
            ),
            tuple((a, b) for a, b in data["edges"]),
            tuple(Recipe.from_json(r) for r in data["recipes"]),
            {op: OpPrecision.from_json(p) for op, p in data["fixed"].items()},
            tuple(tuple(Recipe.from_json(r) for r in several) for several in data.get("float_recipes", ())),
            tuple(data.get("notes", ())),
        )

    def full_plan(self) -> Plan:
        """Every unit in its best precision."""
        return self.plan({})

    def float_plan(self) -> Plan:
        """Every unit in float where the job allows float."""
        return self.plan({u.id: u.float_index or 0 for u in self.units})


def rules_by_op(table: CapabilityTable, rules: SpaceRules) -> Mapping[str, OpRule]:
    """What a job says of each op, by its id: the more specific rule wins, key by key.

    Raises:
        ConfigError: A pattern matches nothing.
    """
    return _rules_by_op(table, rules)[0]


def _rules_by_op(table: CapabilityTable, rules: SpaceRules) -> tuple[dict[str, OpRule], dict[str, str]]:
    """Rule by op id, and the op_wise pattern that names an op."""
    types = [row.op.type for row in table]
    ids = [row.op.id for row in table]
    rule_of = {row.op.id: rules.model_wise for row in table}
    for pattern, rule in rules.optype_wise:
        matched = match_names(pattern, types, "op type")
        for row in table:
            if row.op.type in matched:
                rule_of[row.op.id] = rule_of[row.op.id].overridden_by(rule)
    named: dict[str, str] = {}
    for pattern, rule in rules.op_wise:
        for op_id in match_names(pattern, ids, "op"):
            rule_of[op_id] = rule_of[op_id].overridden_by(rule)
            named[op_id] = pattern
    return rule_of, named


def _narrow(table: CapabilityTable, rules: SpaceRules) -> dict[str, tuple[OpPrecision, ...]]:
    rule_of, named = _rules_by_op(table, rules)
    approach = OpRule(modes=rules.modes)
    allowed: dict[str, tuple[OpPrecision, ...]] = {}
    for row in table:
        offered = approach.narrow(row.precisions)
        kept = rule_of[row.op.id].narrow(offered)
        if not kept and row.op.id in named:
            raise ConfigError(
                f"op_wise '{named[row.op.id]}' asks for what this op does not have",
                where=row.op.id,
                hint="it has: " + "; ".join(p.label for p in offered),
            )
        allowed[row.op.id] = kept or tuple(p for p in row.precisions if p.is_float)[-1:]
    return allowed
