"""Rules between the objects of a model, and between a model and an experiment.

* Names that are used exist: services and endpoints of calls, policies, routes, mix, entry, faults.
* No endpoint calls itself, directly or through others.
* Every service can be reached by a request that arrives at a service nobody calls.
* One request makes at most 100,000 calls.
* A fault has the hosts that it wants, hits a service that gets requests, and happens within the
  time of the run.

The rules work on what could be read (`Parts`), so that one bad value does not hide the others;
names are those that are written, also of objects that could not be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from resilim.spec.base import Finding, Steps
from resilim.spec.experiment import Fault, Load, Time
from resilim.spec.model import Service
from resilim.spec.problems import nearest, one_of
from resilim.spec.units import format_duration, quoted

MOST_CALLS = 100_000
_MOST_CYCLES = 20
_LONGEST_CYCLE = 8

Place = tuple[str, str]
"""A service and one of its endpoints."""


@dataclass(frozen=True)
class Parts:
    """What could be read of a model."""

    services: Mapping[str, Service]
    names: Mapping[str, tuple[str, ...]]
    """The endpoints of every service that is written down, readable or not."""
    keyed: Mapping[str, tuple[str, ...]]
    """The services that other parts of the model are written down for, by the key of the part."""

    @property
    def complete(self) -> bool:
        """True when all services could be read."""
        return len(self.services) == len(self.names)


@dataclass(frozen=True)
class _Edge:
    """A call, and the steps to where it is written."""

    caller: Place
    callee: Place
    steps: Steps


def model_findings(parts: Parts) -> list[Finding]:
    """Everything that is wrong between the objects of a model."""
    edges = list(_edges(parts.services))
    found = [*_unknown_targets(parts, edges), *_unknown_keys(parts)]
    if parts.complete and not found:
        found += _structure(parts, edges)
    return found


def default_entry(parts: Parts) -> list[str]:
    """The services that nobody else calls; with exactly one, it is the entry."""
    called = {edge.callee[0] for edge in _edges(parts.services) if edge.callee[0] != edge.caller[0]}
    return [name for name in parts.names if name not in called]


def _edges(services: Mapping[str, Service]) -> Iterator[_Edge]:
    for service, owner in services.items():
        for name, endpoint in owner.endpoints.items():
            for index, step in enumerate(endpoint.steps):
                steps: Steps = ("services", service, "endpoints", name, "steps", index)
                for branch, call in enumerate(step.calls):
                    inner: Steps = ("parallel", branch, "call") if step.parallel else ("call",)
                    yield _Edge((service, name), call.target, steps + inner)


def unknown(what: str, name: str, names: Iterable[str], steps: Steps) -> Finding:
    """The finding that `name` is none of `names`."""
    choices = list(names)
    hint = nearest(name, choices)
    there = "" if hint or not choices else f"; there is {one_of(choices)}"
    return Finding(steps, f"there is no {what} {quoted(name)}{there}", hint)


def _unknown_targets(parts: Parts, edges: Iterable[_Edge]) -> Iterator[Finding]:
    for edge in edges:
        service, endpoint = edge.callee
        if service not in parts.names:
            yield unknown("service", service, parts.names, edge.steps)
        elif endpoint not in parts.names[service]:
            yield unknown(f"endpoint of {service}", endpoint, parts.names[service], edge.steps)


def _unknown_keys(parts: Parts) -> Iterator[Finding]:
    for key, names in parts.keyed.items():
        for name in names:
            if name not in parts.names:
                yield unknown("service", name, parts.names, (key, name))


def _structure(parts: Parts, edges: list[_Edge]) -> list[Finding]:
    order, cycles = _sorted(parts, edges)
    if cycles:
        return cycles
    roots = default_entry(parts)
    reached = reachable(parts, [(root, name) for root in roots for name in parts.names[root]])
    lost = [service for service in parts.names if service not in reached]
    return [*(_unreachable(service) for service in lost), *_too_wide(order, edges)]


def _unreachable(service: str) -> Finding:
    message = "unreachable: no request gets to this service; call it or remove it"
    return Finding(("services", service), message)


def _sorted(parts: Parts, edges: list[_Edge]) -> tuple[list[Place], list[Finding]]:
    """The endpoints, callees before callers; or the cycles that make this impossible."""
    findings: list[Finding] = []
    left = list(edges)
    while True:
        callees: dict[Place, list[Place]] = {
            (service, name): [] for service, names in parts.names.items() for name in names
        }
        for edge in left:
            callees[edge.caller].append(edge.callee)
        try:
            return list(TopologicalSorter(callees).static_order()), findings
        except CycleError as error:
            ring: list[Place] = error.args[1][::-1]
        closing = next(edge for edge in left if (edge.caller, edge.callee) == (ring[0], ring[1]))
        findings.append(Finding(closing.steps, f"calls that never end: {_shown(ring, parts)}"))
        if len(findings) == _MOST_CYCLES:
            return [], findings
        left = [edge for edge in left if (edge.caller, edge.callee) != (ring[0], ring[1])]


def _shown(ring: list[Place], parts: Parts) -> str:
    """The ring for a message; it begins with the service that is written first."""
    order = {service: index for index, service in enumerate(parts.names)}
    nodes = ring[:-1]
    start = min(range(len(nodes)), key=lambda index: order[nodes[index][0]])
    names = [f"{service}.{name}" for service, name in nodes[start:] + nodes[:start]]
    middle = names if len(names) <= _LONGEST_CYCLE else [*names[:_LONGEST_CYCLE], "..."]
    return " -> ".join([*middle, names[0]])


def _too_wide(order: list[Place], edges: list[_Edge]) -> Iterator[Finding]:
    """The endpoints whose calls are too many, though those of each endpoint they call are not."""
    callees: dict[Place, list[Place]] = {}
    for edge in edges:
        callees.setdefault(edge.caller, []).append(edge.callee)
    calls: dict[Place, int] = {}
    for place in order:
        # beyond the limit the exact number is of no interest, and could have a thousand digits
        below = [calls[callee] for callee in callees.get(place, ())]
        calls[place] = min(sum(below) + len(below), MOST_CALLS + 1)
        if calls[place] > MOST_CALLS and max(below, default=0) <= MOST_CALLS:
            steps = ("services", place[0], "endpoints", place[1])
            yield Finding(steps, f"one request makes more than {MOST_CALLS:,} calls")


def reachable(parts: Parts, start: Iterable[Place]) -> set[str]:
    """The services that requests for the endpoints of `start` get to."""
    callees: dict[Place, list[Place]] = {}
    for edge in _edges(parts.services):
        callees.setdefault(edge.caller, []).append(edge.callee)
    seen = set(start)
    left = list(seen)
    while left:
        for place in callees.get(left.pop(), ()):
            if place not in seen:
                seen.add(place)
                left.append(place)
    return {service for service, _ in seen}


def target_of_load(
    parts: Parts, load: Load | None, sound: bool
) -> tuple[str | None, dict[str, float], list[Finding]]:
    """The entry, the share of each of its endpoints, and what is wrong with them.

    `sound` says that nothing is wrong with the model: otherwise an entry that is not written is not
    looked for, because it would be a guess.
    """
    if load is None or (load.entry is None and not (sound and parts.complete)):
        return None, {}, []
    entry, found = _entry_of(parts, load)
    if entry is None:
        return None, {}, found
    mix, found = _mix_of(parts, load, entry)
    return entry, mix, found


def _entry_of(parts: Parts, load: Load) -> tuple[str | None, list[Finding]]:
    """The service that gets the load, or None and the reason."""
    if load.entry is not None:
        if load.entry in parts.names:
            return load.entry, []
        return None, [unknown("service", load.entry, parts.names, ("load", "entry"))]
    roots = default_entry(parts)
    if len(roots) == 1:
        return roots[0], []
    what = "every service is called by others" if not roots else f"nobody calls {one_of(roots)}"
    return None, [Finding(("load",), f"{what}; write load.entry, the service that gets the load")]


def _mix_of(parts: Parts, load: Load, entry: str) -> tuple[dict[str, float], list[Finding]]:
    """The share of every endpoint that gets load, 1 together, or nothing and the reasons."""
    names = parts.names[entry]
    if load.mix is None:
        if len(names) == 1:
            return {names[0]: 1.0}, []
        message = f"{entry} has several endpoints ({one_of(names)}); write load.mix"
        return {}, [Finding(("load",), message)]
    found = [
        unknown(f"endpoint of {entry}", name, names, ("load", "mix", name))
        for name in load.mix
        if name not in names
    ]
    total = math.fsum(load.mix.values())
    return {name: share / total for name, share in load.mix.items()}, found


def fault_findings(
    parts: Parts, index: int, fault: Fault, time: Time | None, reached: set[str] | None
) -> Iterator[Finding]:
    """Everything that is wrong between a fault, the model and the time.

    `reached` are the services that get requests; None when that is not known.
    """
    path: Steps = ("faults", index)
    if fault.service is not None:
        yield from _fault_hosts(parts, path, fault)
        if reached is not None and fault.service in set(parts.names) - reached:
            message = f"no request of this load gets to {fault.service}"
            yield Finding((*path, "service"), message)
    if time is not None:
        yield from _fault_time(path, fault, time)


def _fault_hosts(parts: Parts, path: Steps, fault: Fault) -> Iterator[Finding]:
    name = fault.service or ""
    if name not in parts.names:
        yield unknown("service", name, parts.names, (*path, "service"))
    if name not in parts.services:
        return
    hosts = parts.services[name].host_versions
    if fault.version is not None:
        versions = parts.services[name].versions or {}
        if fault.version not in versions:
            yield unknown(f"version of {name}", fault.version, versions, (*path, "version"))
            return
        hosts = tuple(version for version in hosts if version == fault.version)
    if fault.hosts is not None and fault.hosts > len(hosts):
        of = f" of version {fault.version}" if fault.version is not None else ""
        message = f"{fault.hosts} hosts of {len(hosts)}: {name} has no more{of}"
        yield Finding((*path, "hosts"), message)


def _fault_time(path: Steps, fault: Fault, time: Time) -> Iterator[Finding]:
    start, end = fault.from_.at(time), fault.until.at(time)
    if start < 0:
        early = format_duration(-start)
        yield Finding((*path, "from"), f"{fault.from_} is {early} before the simulation starts")
    if end > time.total:
        message = f"{fault.until} is at {format_duration(end)}"
        last = format_duration(time.total)
        yield Finding((*path, "until"), f"{message}; the simulation ends at {last}")
    if start >= end:
        message = f"the fault ends ({fault.until}) before it begins ({fault.from_})"
        yield Finding((*path, "until"), message if start > end else f"{message}, or at once")
