"""The first instant of a run: luck is bound to the seed, balancers line up, sources begin."""

from __future__ import annotations

from resilim.plane.balance import line_up
from resilim.plane.luck import BALANCE, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.source import plan_arrival, request_key


@plane
def begin(S: State) -> None:
    """Make ready what depends on the seed, and schedule the first arrivals."""
    seed = S.world[0].seed
    for index in range(len(S.cluster)):
        cluster = S.cluster[index]
        cluster.key = scramble(seed, cluster.key)
        cluster.turn = below(cluster.key, BALANCE, cluster.members)
        line_up(S, cluster)
    for index in range(len(S.source)):
        source = S.source[index]
        source.key = scramble(seed, source.key)
        plan_arrival(S, index, source, request_key(source), 0)
