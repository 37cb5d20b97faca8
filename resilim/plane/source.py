"""Where client requests come from: open load, or users who wait for their answers.

* Open load: the next arrival does not depend on how the last request fared. Poisson arrivals have exponential
  gaps, even arrivals equal ones; the n-th gap is the luck of the number n. A burst is so many requests at one
  instant, and the gaps are those between bursts.
* A change of rate stretches or shortens the gap that is running, so the stream stays Poisson.
* A user (closed load) sends one request at a time; `user.py` plans the next one.
"""

from __future__ import annotations

from math import log

from resilim.plane.calls import record_outcome
from resilim.plane.filters import CLIENT
from resilim.plane.kinds import ARRIVAL
from resilim.plane.luck import ARRIVALS, MIXTURE, THINKING, duration, uniform
from resilim.plane.machine import State, plane, push, scramble
from resilim.plane.proxy import begin_call
from resilim.plane.records import NONE, Mix, Source
from resilim.plane.user import think


@plane
def on_arrival(S: State, now: int, index: int) -> None:
    """A client request arrives, unless a change of rate has moved the arrival."""
    source = S.source[index]
    if now != source.due:
        return
    key = request_key(source)
    if source.user:
        source.due = NONE
    else:
        plan_arrival(S, index, source, key, now)
    mix = S.mix[source.first_mix]
    if source.mixes > 1:
        mix = choose(S, source, uniform(key, MIXTURE))
    world = S.world[0]
    world.started += 1
    world.source = index
    if begin_call(S, CLIENT, mix.route, mix.cluster, mix.first_step, 0, key, now) >= 0:
        return
    record_outcome(S, mix.first_step, now, now, world.code, world.flags, world.origin, 0)
    if source.user:
        think(S, index, now, world.code >= 400, now)


@plane
def choose(S: State, source: Source, u: float) -> Mix:
    """What kind of request it is."""
    entry = source.first_mix
    while S.mix[entry].upto <= u:
        entry += 1
    return S.mix[entry]


@plane
def request_key(source: Source) -> int:
    """The luck of the source's next request."""
    key = scramble(source.key, source.serial)
    source.serial += 1
    return key


@plane
def plan_arrival(S: State, index: int, source: Source, key: int, now: int) -> None:
    """Schedule the arrival after the one with luck `key`."""
    if source.burst > 1 and (source.serial - 1) % source.burst != 0:
        source.due = now
    else:
        gap = 1.0
        if source.even == 0:
            gap = -log(1.0 - uniform(key, ARRIVALS))
        source.due = now + max(1, int(gap * source.burst / source.rate))
    push(S, source.due, ARRIVAL, index)


@plane
def begin_source(S: State, index: int) -> None:
    """Plan the first arrival of a source."""
    source = S.source[index]
    if source.user:
        source.due = duration(S.law[source.think], scramble(source.key, THINKING))
        push(S, source.due, ARRIVAL, index)
    else:
        plan_arrival(S, index, source, request_key(source), 0)


@plane
def set_rate(S: State, index: int, rate: float, now: int) -> None:
    """Change the rate of a source of open load to `rate` arrivals per ns; 0 ends any source."""
    source = S.source[index]
    if source.user:
        source.quota = max(1, source.serial)
        source.due = NONE
    elif rate > 0.0:
        rest = max(1, int((source.due - now) * (source.rate / rate)))
        source.due = now + rest
        push(S, source.due, ARRIVAL, index)
    else:
        source.due = NONE
    source.rate = rate
