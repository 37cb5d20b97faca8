"""The first instant of a run: luck is bound to the seed, balancers line up, sources begin."""

from __future__ import annotations

from resilim.plane import balance
from resilim.plane.checks import begin_checks
from resilim.plane.machine import State, plane, scramble
from resilim.plane.source import begin_source


@plane
def begin(S: State) -> None:
    """Make ready what depends on the seed, and schedule the first arrivals."""
    seed = S.world[0].seed
    for index in range(len(S.cluster)):
        cluster = S.cluster[index]
        cluster.key = scramble(seed, cluster.key)
        cluster.pool_shift = cluster.first_pool - cluster.first_member
        balance.begin(S, cluster, index, 0)
        begin_checks(S, cluster, index)
    for index in range(len(S.bucket)):
        S.bucket[index].tokens = S.bucket[index].max_tokens
    for index in range(len(S.source)):
        source = S.source[index]
        source.key = scramble(seed, source.key)
        begin_source(S, index)
