"""The load as sources, and how much of it is to be expected."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from resilim.plan.edges import Edges
from resilim.plan.fleet import Fleet
from resilim.plan.names import CLIENT, salt
from resilim.plan.tables import Tables
from resilim.plane.records import Mix, Source
from resilim.spec.clients import Users
from resilim.spec.load import ResolvedArm
from resilim.spec.units import MILLISECOND, SECOND

_SHORTEST_ROUND = MILLISECOND  # of a user: from one request to the next

Place = tuple[str, str]
"""A service and one of its endpoints."""


def add_sources(arm: ResolvedArm, tables: Tables, fleet: Fleet, edges: Edges) -> None:
    """Put down where client requests come from: one stream, or every user by itself."""
    mixes = _add_mix(arm, tables, fleet, edges)
    if arm.load.users is not None:
        _add_users(arm.load.users, arm.entry, mixes, tables)
        return
    source = Source(
        rate=(arm.load.rate or 0.0) / SECOND,
        even=int(arm.load.arrivals == "even"),
        burst=arm.load.burst,
        people=arm.load.people or 0,
        key=salt("source", arm.entry),
        mixes=mixes,
    )
    tables.add("source", source)


def _add_users(users: Users, entry: str, mixes: int, tables: Tables) -> None:
    think = tables.law(users.think)
    after_failure = tables.law(users.after_failure)
    for number in range(users.count):
        source = Source(
            user=1,
            think=think,
            think_after_failure=after_failure,
            quota=users.requests or 0,
            identity=salt("user", number),
            key=salt("source", entry, "user", number),
            mixes=mixes,
        )
        tables.add("source", source)


def _add_mix(arm: ResolvedArm, tables: Tables, fleet: Fleet, edges: Edges) -> int:
    """Put down the kinds of request; their number."""
    edge = edges.edge(CLIENT, arm.entry)
    upto = 0.0
    for endpoint, share in arm.mix.items():
        if share > 0:
            upto += share
            first_step = fleet.first_step[arm.entry, endpoint]
            tables.add("mix", Mix(upto, first_step, edge.route, edge.first_cluster))
    tables.records["mix"][-1].upto = 1.0
    return tables.size("mix")


def expected_requests(arm: ResolvedArm) -> float:
    """Client requests from the start to the end, surges included; of users, as if nothing ever waited."""
    if arm.load.users is not None:
        return _expected_of_users(arm, arm.load.users)
    rate = arm.load.rate or 0.0
    extra = sum(
        (fault.factor - 1) * rate * (fault.until.at(arm.time) - fault.from_.at(arm.time))
        for fault in arm.faults
        if fault.kind == "load-surge"
    )
    return (rate * arm.time.total + extra) / SECOND


def _expected_of_users(arm: ResolvedArm, users: Users) -> float:
    once = users.think.mean + _sum_over_calls(arm, _own_work(arm))
    rounds = arm.time.total / max(once, _SHORTEST_ROUND)
    return users.count * min(rounds, users.requests or rounds)


def _own_work(arm: ResolvedArm) -> dict[Place, float]:
    """Mean work of a host for one request, by endpoint, ns."""
    return {
        (service, endpoint): sum(step.work.mean for step in body.steps if step.work is not None)
        for service, spec in arm.model.services.items()
        for endpoint, body in spec.endpoints.items()
    }


def expected_calls(arm: ResolvedArm) -> float:
    """Calls that one client request makes in all, itself included."""
    return _sum_over_calls(arm, dict.fromkeys(_own_work(arm), 1.0))


def _sum_over_calls(arm: ResolvedArm, of_one: Mapping[Place, float]) -> float:
    """The sum of something over all calls that one client request makes, itself included."""
    made = {
        (service, endpoint): [call for step in body.steps for call in step.calls]
        for service, spec in arm.model.services.items()
        for endpoint, body in spec.endpoints.items()
    }
    callees = {caller: [call.target for call in calls] for caller, calls in made.items()}
    known: dict[Place, float] = {}
    for caller in TopologicalSorter(callees).static_order():
        below = sum(call.probability * known[call.target] for call in made[caller])
        known[caller] = of_one[caller] + below
    return sum(share * known[arm.entry, endpoint] for endpoint, share in arm.mix.items())
