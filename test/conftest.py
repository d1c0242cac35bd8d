"""What every test shares: hypothesis draws the same examples each time, and takes as long as it takes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("autoq", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("autoq")
