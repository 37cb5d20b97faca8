"""What users write: models, experiments and Istio objects, read from YAML and checked."""

from __future__ import annotations

from resilim.spec.load import LoadedExperiment, ResolvedArm, load_experiment, load_model
from resilim.spec.problems import Problem, SpecError

__all__ = [
    "LoadedExperiment",
    "Problem",
    "ResolvedArm",
    "SpecError",
    "load_experiment",
    "load_model",
]
