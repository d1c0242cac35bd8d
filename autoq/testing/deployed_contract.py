"""What every adaptor must do with recipes, with what it compiles, and with what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoq.core.adaptor import Adaptor, Candidate, Compilable, Model
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.space import Space
from autoq.core.statistics import Calibration
from autoq.testing.contract_fixtures import ContractFixtures
from autoq.testing.outputs import OPTIONS, assert_close, forms, named, predict_in_child


class DeployedContract(ContractFixtures):
    """The part of `AdaptorContract` that is about other forms of a model than the one a search scores."""

    # -- recipes -----------------------------------------------------------------------------------------------

    def test_float_recipes_stay_near_fp32(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """Every set of recipes for the float model builds without calibration and answers nearly as fp32 does."""
        want = adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(batches[0].inputs)
        for recipes in table.float_recipes:
            candidate = adaptor.apply(model, Plan({}, recipes), None, OPTIONS)
            assert candidate.realized == Plan({}, recipes)
            assert_close(candidate.predict(batches[0].inputs), want, self.recipe_tolerance)
            candidate.close()

    def test_recipes_combine_with_the_full_plan(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        full: Candidate,
        batches: Sequence[Batch],
    ) -> None:
        """Every recipe of the table builds on top of quantized ops, and outputs keep names, shapes and dtypes."""
        want = forms(full.predict(batches[0].inputs))
        for recipe in table.recipes:
            candidate = adaptor.apply(model, Space.of(table).plan({}, (recipe,)), calibration, OPTIONS)
            assert candidate.realized.recipes == (recipe,)
            assert forms(candidate.predict(batches[0].inputs)) == want
            candidate.close()

    def test_unknown_recipe_of_a_plan_is_an_autoq_error(self, adaptor: Adaptor[Any], model: Model) -> None:
        """A plan is never realized without what it asks for."""
        with pytest.raises(AutoqError):
            adaptor.apply(model, Plan({}, (Recipe("no_such_recipe"),)), None, OPTIONS)

    # -- the deployed form -------------------------------------------------------------------------------------

    def test_compiled_form_is_faithful(self, full: Candidate, deployed: Candidate, batches: Sequence[Batch]) -> None:
        """What is deployed realizes no more than was asked for and answers nearly as its reference does."""
        assert set(deployed.realized) <= set(full.realized)
        for batch in batches:
            tolerance = self.compiled_tolerance if deployed is not full else 0.0
            assert_close(deployed.predict(batch.inputs), full.predict(batch.inputs), tolerance)

    def test_compiling_is_timed(self, full: Candidate) -> None:
        """Nothing is compiled before it is asked for."""
        assert not isinstance(full, Compilable) or full.compile_seconds is None

    # -- artifacts ---------------------------------------------------------------------------------------------

    def test_saved_model_loads_with_the_same_outputs(
        self, adaptor: Adaptor[Any], deployed: Candidate, batches: Sequence[Batch], tmp_path: Path
    ) -> None:
        """In this process; the files it names exist."""
        artifact = adaptor.save(deployed, tmp_path)
        assert artifact.files
        assert all((artifact.folder / name).exists() for name in artifact.files)
        loaded = adaptor.load_artifact(artifact.folder, OPTIONS)
        assert loaded.realized == deployed.realized
        for batch in batches:
            assert_close(loaded.predict(batch.inputs), deployed.predict(batch.inputs))

    def test_saved_model_loads_in_a_fresh_process(
        self, adaptor: Adaptor[Any], deployed: Candidate, model: Model, batches: Sequence[Batch], tmp_path: Path
    ) -> None:
        """Nothing that only lives in this process is needed."""
        folder = tmp_path / "artifact"
        folder.mkdir()
        adaptor.save(deployed, folder)
        found = predict_in_child(self.framework, folder, named(batches[0].inputs, model), tmp_path)
        assert_close(found, deployed.predict(batches[0].inputs))

    def test_empty_folder_is_an_autoq_error(self, adaptor: Adaptor[Any], tmp_path: Path) -> None:
        """There is no saved model in it."""
        with pytest.raises(AutoqError):
            adaptor.load_artifact(tmp_path, OPTIONS)
