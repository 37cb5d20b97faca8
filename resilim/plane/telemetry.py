"""What is counted while requests pass, and what a sample of it says.

* Latencies of the calls to a service go into one histogram a service: logarithmic buckets, 64 to an octave,
  each 1.1 % wider than the one before. Failed calls are in it as what they are.
* A sample sums the counters and gauges of all hosts and all callers' clusters of each service.
"""

from __future__ import annotations

from math import log

from resilim.plane.flags import FI, NC, NR, UMSDR
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster

BUCKETS_PER_OCTAVE = 64
OFFSET = 1 << 10  # ns; latencies far below are told apart less finely
OCTAVES = 40  # up to 2^50 ns, 13 days
BUCKETS = OCTAVES * BUCKETS_PER_OCTAVE
BUCKETS_PER_E_FOLD = BUCKETS_PER_OCTAVE / log(2.0)
FIRST = 10 * BUCKETS_PER_OCTAVE  # log2(OFFSET) octaves below the first bucket

# With one of these flags Envoy charges no cluster with the status.
UNCHARGED = FI | NR | NC | UMSDR


@plane
def call_ended(S: State, cluster: Cluster, latency: int, failed: bool) -> None:
    """Count the outcome of one call, and its latency (ns)."""
    cluster.calls_ended += 1
    if failed:
        cluster.calls_failed += 1
    bucket = int(log(latency + OFFSET) * BUCKETS_PER_E_FOLD) - FIRST
    S.histogram[cluster.service * BUCKETS + bucket] += 1


@plane
def charge(cluster: Cluster, code: int, flags: int, origin: int) -> None:
    """Count a call that failed, unless the caller's own proxy ended it without asking the cluster."""
    if flags & UNCHARGED and origin == cluster.service:
        cluster.rq_uncharged += 1
    else:
        count_failure(cluster, code)


@plane
def count_failure(cluster: Cluster, code: int) -> None:
    """Count a call that failed, by its status; 0: the client left."""
    if code >= 500:
        if code < 600:
            cluster.rq_5xx += 1
        if code == 503:
            cluster.rq_503 += 1
        elif code == 504:
            cluster.rq_504 += 1
    elif code >= 400:
        cluster.rq_4xx += 1
    else:
        cluster.calls_left += 1


@plane
def uncharge(cluster: Cluster, code: int) -> None:
    """Take back the count of a 5xx that hit no attempt: a route timeout during a back-off."""
    cluster.rq_uncharged += 1
    cluster.rq_5xx -= 1
    if code == 504:
        cluster.rq_504 -= 1


@plane
def take_sample(S: State) -> None:
    """Fill the gauge table with the state of every service now."""
    for service in range(len(S.gauge)):
        clear(S, service)
    for host_index in range(len(S.host)):
        host = S.host[host_index]
        gauge = S.gauge[host.service]
        gauge.refused_by_host += host.refused
        gauge.wasted += host.wasted
        gauge.wasted_time += host.wasted_time
        if host.rank >= 0:
            gauge.busy += host.busy
            gauge.waiting += host.waiting
    for cluster_index in range(len(S.cluster)):
        cluster = S.cluster[cluster_index]
        gauge = S.gauge[cluster.service]
        gauge.calls_ended += cluster.calls_ended
        gauge.calls_failed += cluster.calls_failed
        gauge.attempts += cluster.rq_total
        gauge.refused_by_pool += cluster.rq_pending_overflow + cluster.rq_active_overflow
        gauge.pending += cluster.rq_pending
        gauge.active += cluster.rq_active
        gauge.connections += cluster.cx_active
        gauge.ejected += S.detector[cluster_index].active


@plane
def clear(S: State, service: int) -> None:
    """Set the gauges of one service to zero."""
    gauge = S.gauge[service]
    gauge.calls_ended = 0
    gauge.calls_failed = 0
    gauge.attempts = 0
    gauge.refused_by_pool = 0
    gauge.refused_by_host = 0
    gauge.wasted = 0
    gauge.wasted_time = 0
    gauge.busy = 0
    gauge.waiting = 0
    gauge.pending = 0
    gauge.active = 0
    gauge.connections = 0
    gauge.ejected = 0
