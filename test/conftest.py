"""What every test shares: hypothesis draws the same examples each time, and takes as long as it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("autoq", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("autoq")


@pytest.fixture(scope="module", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one file's tests probe and keep is nothing to other files, nor to the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        # But for which kernels work on this machine: that takes seconds to find out, and no test changes it.
        (folder / "autoq").mkdir()
        shared = tmp_path_factory.getbasetemp() / "kernels"
        shared.mkdir(exist_ok=True)
        (folder / "autoq" / "kernels").symlink_to(shared)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield
