"""Where client requests come from: open load.

* Users do not wait for each other: the next arrival does not depend on how the last request fared.
* Poisson arrivals: exponential gaps; even arrivals: equal gaps. The n-th gap is the luck of the number n.
* A change of rate stretches or shortens the gap that is running, so the stream stays Poisson.
"""

from __future__ import annotations

from math import log

from resilim.plane.kinds import ARRIVAL
from resilim.plane.luck import ARRIVALS, MIXTURE, uniform
from resilim.plane.machine import State, plane, push, scramble
from resilim.plane.outcome import record_outcome
from resilim.plane.proxy import begin_call
from resilim.plane.records import NONE, Source


@plane
def on_arrival(S: State, now: int, index: int) -> None:
    """A client request arrives, unless a change of rate has moved the arrival."""
    source = S.source[index]
    if now != source.due:
        return
    key = request_key(source)
    plan_arrival(S, index, source, key, now)
    mix = S.mix[source.first_mix]
    if source.mixes > 1:
        u = uniform(key, MIXTURE)
        entry = source.first_mix
        while S.mix[entry].upto <= u:
            entry += 1
        mix = S.mix[entry]
    S.world[0].started += 1
    if begin_call(S, NONE, mix.cluster, mix.first_step, 0, key, now) < 0:
        world = S.world[0]
        record_outcome(S, mix.first_step, now, now, world.code, world.flags, world.origin, 0)


@plane
def request_key(source: Source) -> int:
    """The luck of the source's next request."""
    key = scramble(source.key, source.serial)
    source.serial += 1
    return key


@plane
def plan_arrival(S: State, index: int, source: Source, key: int, now: int) -> None:
    """Schedule the arrival after the one with luck `key`."""
    gap = 1.0
    if source.even == 0:
        gap = -log(1.0 - uniform(key, ARRIVALS))
    source.due = now + max(1, int(gap / source.rate))
    push(S, source.due, ARRIVAL, index)


@plane
def set_rate(S: State, index: int, rate: float, now: int) -> None:
    """Change the rate of a source to `rate` arrivals per ns; 0 ends it."""
    source = S.source[index]
    if rate > 0.0:
        rest = max(1, int((source.due - now) * (source.rate / rate)))
        source.due = now + rest
        push(S, source.due, ARRIVAL, index)
    else:
        source.due = NONE
    source.rate = rate
