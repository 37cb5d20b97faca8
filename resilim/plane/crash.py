"""A host crashes, or cannot be reached any more (faults).

* Crashed: its connections are closed, so requests on them end with UC; new connections are refused, UF. Its
  queue and its work are gone: what it was at work on is moved to a graveyard, a host without a queue, where
  its events run out; nobody waits for the answers.
* Unreachable: packets are dropped. Set-up of connections, requests and answers are repeated by TCP until the
  host is back, unless a timeout of the caller ends the waiting.
* Many requests are reset a few at a time, in events of the same instant.
"""

from __future__ import annotations

from resilim.plane import pool
from resilim.plane.connections import LOOKED_AT_ONCE, lose_attempt
from resilim.plane.gate import SILENT, UP
from resilim.plane.host import lose
from resilim.plane.kinds import CRASH
from resilim.plane.lists import leave_host_queue
from resilim.plane.machine import ATTEMPTS, State, plane, push
from resilim.plane.records import Host


@plane
def set_link(S: State, host_index: int, link: int, now: int) -> None:
    """Make a host refuse everything (crash), not answer any more, or be reachable again."""
    host = S.host[host_index]
    host.link = link
    host.gate = int(link != UP or host.bucket >= 0)
    if link in (UP, SILENT):
        return
    empty_queue(S, host)
    bury_work(S, host, host_index)
    for index in range(len(S.member)):
        member = S.member[index]
        if member.host == host_index and member.cx_active > 0:
            cluster = S.cluster[member.cluster]
            for worker in range(cluster.workers):
                pool.cut_idle(S, cluster, index + cluster.pool_shift + worker * cluster.members)
    host.cursor = 0
    push(S, now, CRASH, host_index)


@plane
def empty_queue(S: State, host: Host) -> None:
    """Everything that waits at a host is lost."""
    while host.waiting > 0:
        index = leave_host_queue(host, S.attempt)
        lose(S, S.attempt[index], index)


@plane
def bury_work(S: State, host: Host, host_index: int) -> None:
    """Move what a host is at work on to its grave."""
    grave = S.host[host.grave]
    for index in range(S.supply[ATTEMPTS].used):
        attempt = S.attempt[index]
        if attempt.host == host_index and attempt.begun >= 0 and attempt.step >= 0:
            attempt.host = host.grave
            grave.busy += 1
            if attempt.code == 0:
                attempt.code = 503
    host.busy = 0


@plane
def on_crash(S: State, now: int, host_index: int) -> None:
    """Reset a few of the requests on connections to a host that crashed."""
    host = S.host[host_index]
    for _ in range(LOOKED_AT_ONCE):
        if host.cursor >= S.supply[ATTEMPTS].used:
            return
        index = host.cursor
        host.cursor += 1
        attempt = S.attempt[index]
        if attempt.connection >= 0 and S.member[attempt.member].host == host_index:
            lose_attempt(S, index, now)
    push(S, now, CRASH, host_index)
