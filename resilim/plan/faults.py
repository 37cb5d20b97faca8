"""Faults as rows: one for each host or source that a fault strikes.

A host that resets requests is a failing host whose code is a reset; one that answers with a grpc-status has a
code beyond all of HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from resilim.plan.fleet import Fleet
from resilim.plane.resets import (
    GRPC,
    INFORMED_TERMINATION,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE_RESET,
    TERMINATION,
)
from resilim.run import (
    CRASHED_HOST,
    FAILING_HOST,
    FAULT_DTYPE,
    LOAD_SURGE,
    SLOW_HOST,
    UNREACHABLE_HOST,
    Array,
)
from resilim.spec.fault import Fault
from resilim.spec.load import ResolvedArm

_KINDS = {
    "slow-host": SLOW_HOST,
    "failing-host": FAILING_HOST,
    "resetting-host": FAILING_HOST,
    "crashed-host": CRASHED_HOST,
    "unreachable-host": UNREACHABLE_HOST,
    "load-surge": LOAD_SURGE,
}
_RESETS = {
    "connection-close": TERMINATION,
    "connection-close-after-100": INFORMED_TERMINATION,
    "stream-reset": REMOTE_RESET,
    "refused-stream": REFUSED_STREAM,
    "protocol-error": PROTOCOL_ERROR,
}


def add_graveyards(arm: ResolvedArm, fleet: Fleet) -> None:
    """Put down what crashes need, behind all hosts."""
    for fault in arm.faults:
        if fault.kind == "crashed-host":
            fleet.add_graveyard(str(fault.service))


def fault_table(arm: ResolvedArm, fleet: Fleet) -> Array:
    """All rows, in the order of the faults."""
    rows = [row for number, fault in enumerate(arm.faults) for row in _rows(arm, fleet, number, fault)]
    return np.array(rows, dtype=FAULT_DTYPE)


def _rows(arm: ResolvedArm, fleet: Fleet, number: int, fault: Fault) -> Iterable[tuple[float, ...]]:
    kind = _KINDS[fault.kind]
    value = fault.probability if kind == FAILING_HOST else fault.factor
    begins, ends = fault.from_.at(arm.time), fault.until.at(arm.time)
    for who in [0] if kind == LOAD_SURGE else struck(fleet, fault):
        yield kind, number, who, value, _code(fault), begins, ends


def _code(fault: Fault) -> int:
    """The status of a failing host's answers, or the reset that it answers with."""
    if fault.how is not None:
        return _RESETS[fault.how]
    return fault.code if fault.grpc_status is None else GRPC + fault.grpc_status


def struck(fleet: Fleet, fault: Fault) -> list[int]:
    """Indices of the hosts that a fault strikes: the first ones of its service and version."""
    name = str(fault.service)
    versions = fleet.model.services[name].host_versions
    ranks = [rank for rank, version in enumerate(versions) if fault.version in (None, version)]
    return [fleet.hosts_of(name)[rank] for rank in ranks[: fault.hosts]]
