"""Outlier detection and active health checks as records."""

from __future__ import annotations

from resilim.plan.tables import Tables
from resilim.plane.records import NONE, Checker, Detector
from resilim.spec.envoy import EnvoyOutlierDetection, HealthChecks

_LONGEST = "max_ejection_time"


def detector_of(settings: EnvoyOutlierDetection | None) -> Detector:
    """The detector of one cluster; one without an interval when there is none."""
    if settings is None:
        return Detector()
    fields = {name: int(getattr(settings, name)) for name in type(settings).model_fields if name != _LONGEST}
    return Detector(**fields, **{_LONGEST: settings.longest_ejection})


def checker_of(settings: HealthChecks | None, tables: Tables) -> Checker:
    """The active checks of one cluster; without an interval when there are none."""
    if settings is None:
        return Checker(response=NONE)
    return Checker(
        interval=settings.interval,
        timeout=settings.timeout,
        initial_jitter=settings.initial_jitter,
        interval_jitter=settings.interval_jitter,
        interval_jitter_percent=settings.interval_jitter_percent,
        unhealthy_threshold=settings.unhealthy_threshold,
        healthy_threshold=settings.healthy_threshold,
        unhealthy_interval=settings.unhealthy_interval or 0,
        healthy_edge_interval=settings.healthy_edge_interval or 0,
        unhealthy_edge_interval=settings.unhealthy_edge_interval or 0,
        no_traffic_interval=settings.no_traffic_interval,
        response=tables.law(settings.response),
    )
