"""Endpoints become steps and call sites."""

from __future__ import annotations

from resilim.plan.edges import Edges
from resilim.plan.fleet import Fleet
from resilim.plan.names import salt
from resilim.plane import host
from resilim.plane.records import Site, Step
from resilim.spec.model import Call


def add_endpoints(fleet: Fleet, edges: Edges) -> None:
    """Put down the steps of all endpoints, in their order."""
    for service, endpoint in fleet.endpoints:
        _add_endpoint(fleet, edges, service, endpoint)


def _add_endpoint(fleet: Fleet, edges: Edges, service: str, endpoint: str) -> None:
    tables = fleet.tables
    index = fleet.endpoints[service, endpoint]
    for number, step in enumerate(fleet.model.services[service].endpoints[endpoint].steps):
        where = (service, endpoint, number)
        if step.work is not None:
            record = Step(host.WORK, index, tables.law(step.work), salt("work", *where))
        else:
            first = tables.size("site")
            record = Step(host.CALLS_OUT, index, first_site=first, sites=len(step.calls))
            for branch, call in enumerate(step.calls):
                _add_site(fleet, edges, service, call, salt("call", *where, branch))
        tables.add("step", record)
    tables.add("step", Step(host.END, index))


def _add_site(fleet: Fleet, edges: Edges, caller: str, call: Call, site_salt: int) -> None:
    edge = edges.edge(caller, call.target[0])
    record = Site(
        first_step=fleet.first_step[call.target],
        route=edge.route,
        first_cluster=edge.first_cluster,
        probability=call.probability,
        optional=int(call.optional),
        salt=site_salt,
    )
    fleet.tables.add("site", record)
