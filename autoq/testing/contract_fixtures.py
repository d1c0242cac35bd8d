"""What the parts of the adaptor contract share: the model under test and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from autoq.core.adaptor import Adaptor, Candidate, Compilable, Model, ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.core.capability import CapabilityTable
from autoq.core.registry import make_adaptor
from autoq.core.space import Space
from autoq.core.statistics import Calibration
from autoq.testing.outputs import OPTIONS


class ContractFixtures:
    """Attributes a subclass may set, and fixtures its tests use."""

    framework: ClassVar[str]
    """Name in the registry."""

    reference_tolerance: ClassVar[float] = 0.0
    """Difference to `reference` that is accepted, relative to its largest magnitude."""

    single_op_plans: ClassVar[int] = 12
    """How many plans that quantize one unit are tried, spread over the model."""

    recipe_tolerance: ClassVar[float] = 0.1
    """Difference to fp32 that a float recipe (compiled, bf16) may make, relative to the largest magnitude."""

    compiled_tolerance: ClassVar[float] = 0.1
    """Difference to its reference that compiling the full plan may make, relative to the largest magnitude."""

    _compiled: ClassVar[dict[str, Candidate]] = {}

    @pytest.fixture
    def reference(self) -> Callable[[Inputs], Outputs] | None:
        """The fp32 model run by the framework itself, where the subclass has it."""
        return None

    @pytest.fixture
    def adaptor(self) -> Adaptor[Any]:
        """A fresh adaptor."""
        return make_adaptor(self.framework)

    @pytest.fixture
    def model(self, adaptor: Adaptor[Any], source: ModelSource) -> Model:
        """The loaded model."""
        return adaptor.load(source)  # type: ignore[no-any-return]

    @pytest.fixture
    def table(self, adaptor: Adaptor[Any], model: Model) -> CapabilityTable:
        """Its capability table."""
        return adaptor.capabilities(model)

    @pytest.fixture
    def calibration(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> Calibration:
        """Statistics for every plan of the table."""
        return adaptor.calibrate(model, batches, adaptor.needs(model, table))

    @pytest.fixture
    def full(self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, calibration: Calibration) -> Candidate:
        """The candidate in which every op runs in its best precision."""
        return adaptor.apply(model, Space.of(table).full_plan(), calibration, OPTIONS)

    @pytest.fixture
    def deployed(self, full: Candidate, model: Model) -> Candidate:
        """The same as it is deployed: compiled where the adaptor compiles, once for all tests of a model."""
        if not isinstance(full, Compilable):
            return full
        key = f"{self.framework} {model.fingerprint}"
        if key not in self._compiled:
            self._compiled[key] = full.compiled()
        return self._compiled[key]
