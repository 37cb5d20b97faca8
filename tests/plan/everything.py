"""The two arms of a system that says something of everything, as planned records."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from resilim.plan import Plan, plan
from resilim.plane.machine import TABLES
from resilim.plane.record import to_records
from resilim.spec import load_experiment

EXPERIMENT = Path(__file__).parents[1] / "spec/everything/experiment.yaml"

WEB, CART, STOCK, PAY = range(4)  # services


@cache
def planned(arm: int = 0) -> Plan:
    """The plan of an arm: open load, or users inside the mesh."""
    return plan(load_experiment(EXPERIMENT).arms[arm])


@cache
def records(table: str, arm: int = 0) -> list[Any]:
    """The records of a table."""
    return to_records(TABLES[table], planned(arm).run.tables[table])


def block(service: str, subset: str = "", arm: int = 0) -> list[int]:
    """The clusters of the callers of a service inside the mesh, or of a subset."""
    named = planned(arm).names.clusters
    return [index for index, (proxy, *to) in enumerate(named) if proxy and to == [service, subset]]


def members_of(cluster: int) -> list[Any]:
    """The members of a cluster."""
    record = records("cluster")[cluster]
    return records("member")[record.first_member : record.first_member + record.members]
