"""What is counted while requests pass, and what a sample of it says.

* Latencies of the calls to a service go into one histogram a service: log-linear buckets, 64 to an octave,
  so a bucket is at most 1/64 wide relative to its lower edge. Failed calls are in it as what they are.
* A sample sums the counters and gauges of all hosts and all callers' clusters of each service.
"""

from __future__ import annotations

from math import frexp

from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster

SUB_BUCKETS = 64
LOWEST_OCTAVE = 11  # up to 2^10 ns, about 1 us, everything is in bucket 0
OCTAVES = 33  # up to 2^43 ns, 2.4 h
BUCKETS = OCTAVES * SUB_BUCKETS + 1


@plane
def bucket_of(latency: int) -> int:
    """Bucket of a latency (ns)."""
    mantissa, octave = frexp(float(latency))
    if octave < LOWEST_OCTAVE:
        return 0
    if octave >= LOWEST_OCTAVE + OCTAVES:
        return BUCKETS - 1
    return 1 + (octave - LOWEST_OCTAVE) * SUB_BUCKETS + int((mantissa - 0.5) * (2 * SUB_BUCKETS))


@plane
def call_ended(S: State, cluster: Cluster, latency: int, failed: bool) -> None:
    """Count the outcome of one call."""
    cluster.calls_ended += 1
    if failed:
        cluster.calls_failed += 1
    S.histogram[cluster.service * BUCKETS + bucket_of(latency)] += 1


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
