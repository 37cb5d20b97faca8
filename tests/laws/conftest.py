"""How many random systems are drawn: few by default, more with HYPOTHESIS_PROFILE=thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# Making an example smaller takes minutes: only where somebody wants it.
SHORT = (Phase.explicit, Phase.generate)
settings.register_profile("few", CALM, max_examples=40, derandomize=True, database=None, phases=SHORT)
settings.register_profile("thorough", CALM, max_examples=1000)
settings.load_profile("thorough" if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else "few")
