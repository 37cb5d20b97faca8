"""How many random systems are drawn: few by default, more with HYPOTHESIS_PROFILE=thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("default-laws", max_examples=40, derandomize=True, database=None, **_CALM)
settings.register_profile("thorough", max_examples=1000, **_CALM)
settings.load_profile("thorough" if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else "default-laws")
