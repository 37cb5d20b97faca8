"""From a resolved arm to a `Run`: names become indices, policies become records.

* The salt of everything random is a hash of *names* (service, endpoint, step), never of an index, so two
  arms that differ in one policy have the same luck everywhere else.
* `fleet` makes hosts, `edges` and `routes` make routes, `clusters` clusters, `steps` endpoints, `sources` the
  load, `faults` the rows of the fault table; all of them fill the tables of `tables`.
"""

from __future__ import annotations

from dataclasses import dataclass

from resilim.plan.clusters import Clusters
from resilim.plan.edges import Edges
from resilim.plan.faults import add_graveyards, fault_table
from resilim.plan.fleet import Fleet
from resilim.plan.names import CLIENT, CLIENT_PROXY, Names, replication_seed, salt
from resilim.plan.sources import add_sources, expected_calls, expected_requests
from resilim.plan.steps import add_endpoints
from resilim.plan.tables import Tables
from resilim.run import Run
from resilim.spec.load import ResolvedArm
from resilim.spec.units import SECOND

__all__ = ["CLIENT", "CLIENT_PROXY", "Names", "Plan", "plan", "replication_seed", "salt"]

MOST_IN_FLIGHT = 2_000_000  # calls at once; a run that needs more has lost control
DRAIN = 60 * SECOND
_MOST_SAMPLES = 400
_SAMPLE_STEPS = tuple(unit * step for unit in (SECOND // 10, SECOND, 10 * SECOND, 100 * SECOND, 1000 * SECOND)
                      for step in (1, 2, 5))  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One arm, ready to run under any seed."""

    run: Run
    names: Names
    requests: float  # client requests to expect
    calls_per_request: float  # calls that one of them makes in all, when nothing fails


def plan(arm: ResolvedArm) -> Plan:
    """The run of an arm, without a seed yet (`Run.with_seed`)."""
    tables = Tables()
    fleet = Fleet(arm.model, tables)
    add_graveyards(arm, fleet)
    clusters = Clusters(arm, tables, fleet, arm.time.total + DRAIN)
    edges = Edges(arm, tables, clusters)
    add_endpoints(fleet, edges)
    add_sources(arm, tables, fleet, edges)
    services = len(fleet.services)
    run = Run(
        tables=tables.arrays(services),
        vectors=tables.vectors(services),
        faults=fault_table(arm, fleet),
        seed=0,
        windows=tuple((window.start, window.end) for window in arm.time.windows()),
        end=arm.time.total,
        drain=DRAIN,
        sample_every=_sample_every(arm.time.total),
        most_in_flight=MOST_IN_FLIGHT,
    )
    names = Names(
        services=tuple(fleet.services),
        hosts=tuple(fleet.host_names),
        host_service=tuple(record.service for record in tables.records["host"][: len(fleet.host_names)]),
        endpoints=tuple(fleet.endpoints),
        asked=tuple(fleet.endpoints[arm.entry, endpoint] for endpoint in arm.mix),
        clusters=tuple(clusters.names),
    )
    return Plan(run, names, expected_requests(arm), expected_calls(arm))


def _sample_every(total: int) -> int:
    """A round time between samples that gives at most about 400 of them."""
    return next((step for step in _SAMPLE_STEPS if step * _MOST_SAMPLES >= total), _SAMPLE_STEPS[-1])
