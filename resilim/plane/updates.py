"""How the balancer learns of a change of health: `update_merge_window` (Envoy 1.40, cluster_manager_impl.cc).

* A change of one host's health is an update of every priority of its cluster (upstream_impl.cc).
* More than the window, in whole milliseconds, after the last update of a priority, the next one is applied at
  once. A later one waits for a full window from its own time, and whatever comes in between is applied with
  it; so an ejection can take a second to matter.
* What is applied at once cancels what waits. Hosts that come or go are never merged: always at once.
* A window of 0 applies everything at once.
"""

from __future__ import annotations

from resilim.plane import balance
from resilim.plane.kinds import UPDATE
from resilim.plane.machine import State, plane, push
from resilim.plane.records import NONE, HostSet

_MILLISECOND = 1_000_000


@plane
def health_changed(S: State, member_index: int, now: int) -> None:
    """The health of a member has changed: the balancer learns it, now or later."""
    cluster = S.cluster[S.member[member_index].cluster]
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        if is_in_window(S.host_set[set_index], cluster.merge_window, now):
            wait(S, set_index, now + cluster.merge_window)
        else:
            apply_health(S, set_index, now)


@plane
def is_in_window(host_set: HostSet, window: int, now: int) -> bool:
    """Whether the last update of a host set is so recent that the next one has to wait."""
    if window == 0 or host_set.updated_at < 0:
        return False
    return (now - host_set.updated_at) // _MILLISECOND <= window // _MILLISECOND


@plane
def wait(S: State, set_index: int, due: int) -> None:
    """Apply at time `due`, unless something waits already."""
    host_set = S.host_set[set_index]
    if host_set.update_due == NONE:
        host_set.update_due = due
        push(S, due, UPDATE, set_index)


@plane
def on_update(S: State, now: int, set_index: int) -> None:
    """The window of a waiting update is over, unless it was cancelled meanwhile."""
    if S.host_set[set_index].update_due == now:
        apply_health(S, set_index, now)


@plane
def apply_health(S: State, set_index: int, now: int) -> None:
    """A change of health reaches the balancer."""
    S.cluster[S.host_set[set_index].cluster].health_changes += 1
    members_changed(S, set_index, now)


@plane
def members_changed(S: State, set_index: int, now: int) -> None:
    """What a host set has become reaches the balancer at once: hosts came or went, or it is their turn."""
    host_set = S.host_set[set_index]
    host_set.update_due = NONE
    host_set.updated_at = now
    balance.refresh(S, set_index, now)
