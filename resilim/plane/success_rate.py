"""Outlier detection by the answers of a whole interval (Envoy 1.40, outlier_detection_impl.cc).

* Judged at each sweep: the answers since the last one, then forgotten, enough of them or not. Answers of
  hosts are one matter; with split errors, failures on the way to them are another, judged after the first.
* Nothing is judged in a cluster with fewer hosts than both `minimum_hosts`. Ejected hosts are left out.
* Success rate: among the hosts with `request_volume` requests, if there are `minimum_hosts` of them, those
  are outliers whose rate is strictly below mean - factor * standard deviation (of the population).
* Failure percentage: among the hosts with its `request_volume`, if there are `minimum_hosts` of them, those
  whose percentage of failures is at least the threshold.
* Envoy walks through a hash table, so which outliers the cap lets through is arbitrary: here the walk begins
  at a place drawn for the cluster.
* Without a detector of this kind enforced, outliers are still detected and counted, as Envoy does.
"""

from __future__ import annotations

from math import sqrt

from resilim.plane.ejection import (
    FAILURE_PERCENTAGE,
    FAILURE_PERCENTAGE_LOCAL_ORIGIN,
    SUCCESS_RATE,
    SUCCESS_RATE_LOCAL_ORIGIN,
    detect,
    hosts,
)
from resilim.plane.luck import SWEEP_ORDER, below
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster, Detector, Member

# The two windows of a member.
EXTERNAL = 0
LOCAL = 1

NOT_KNOWN = -1.0


@plane
def judge(S: State, cluster_index: int, window: int, now: int) -> None:
    """Find the outliers of one window, EXTERNAL or LOCAL, that ends now."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    set_average(detector, window, NOT_KNOWN, NOT_KNOWN)
    number = hosts(S, cluster)
    if number < detector.success_rate_minimum_hosts and number < detector.failure_percentage_minimum_hosts:
        return
    show_rates(S, cluster, detector, window)
    # Both kinds of outliers are found among the same hosts: those that are in service now have a rate.
    by_rate = with_volume(S, cluster, window, detector.success_rate_request_volume)
    by_percentage = with_volume(S, cluster, window, detector.failure_percentage_request_volume)
    if by_rate > 0 and by_rate >= detector.success_rate_minimum_hosts:
        judge_rates(S, cluster_index, window, by_rate, now)
    if by_percentage > 0 and by_percentage >= detector.failure_percentage_minimum_hosts:
        judge_percentages(S, cluster_index, window, now)


@plane
def show_rates(S: State, cluster: Cluster, detector: Detector, window: int) -> None:
    """Work out the success rates of the hosts in service that had enough requests for either judgement."""
    least = min(detector.success_rate_request_volume, detector.failure_percentage_request_volume)
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        member = S.member[index]
        total = requests(member, window)
        if member.removed == 0 and member.ejected == 0 and total > 0 and total >= least:
            set_rate(member, window, 100.0 * (total - failures(member, window)) / total)


@plane
def with_volume(S: State, cluster: Cluster, window: int, volume: int) -> int:
    """Number of hosts with a rate and at least so many requests."""
    number = 0
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        if has_volume(S.member[index], window, volume):
            number += 1
    return number


@plane
def has_volume(member: Member, window: int, volume: int) -> bool:
    """Whether a host has a rate and at least so many requests."""
    return rate(member, window) >= 0.0 and requests(member, window) >= volume


@plane
def judge_rates(S: State, cluster_index: int, window: int, number: int, now: int) -> None:
    """Detect the hosts far below the mean of `number` hosts."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    volume = detector.success_rate_request_volume
    mean = mean_rate(S, cluster, window, volume, number)
    deviation = sqrt(variance(S, cluster, window, volume, number, mean))
    threshold = mean - detector.success_rate_stdev_factor / 1000.0 * deviation
    set_average(detector, window, mean, threshold)
    by = SUCCESS_RATE_LOCAL_ORIGIN if window == LOCAL else SUCCESS_RATE
    first = below(cluster.key, SWEEP_ORDER, cluster.members)
    for step in range(cluster.members):
        index = cluster.first_member + (first + step) % cluster.members
        member = S.member[index]
        if has_volume(member, window, volume) and rate(member, window) < threshold:
            detect(S, cluster_index, index, by, now)


@plane
def mean_rate(S: State, cluster: Cluster, window: int, volume: int, number: int) -> float:
    """Mean success rate of the `number` hosts with enough requests, percent."""
    total = 0.0
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        if has_volume(S.member[index], window, volume):
            total += rate(S.member[index], window)
    return total / number


@plane
def variance(S: State, cluster: Cluster, window: int, volume: int, number: int, mean: float) -> float:
    """Population variance of their success rates."""
    total = 0.0
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        if has_volume(S.member[index], window, volume):
            distance = rate(S.member[index], window) - mean
            total += distance * distance
    return total / number


@plane
def judge_percentages(S: State, cluster_index: int, window: int, now: int) -> None:
    """Detect the hosts with too many failures."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    by = FAILURE_PERCENTAGE_LOCAL_ORIGIN if window == LOCAL else FAILURE_PERCENTAGE
    first = below(cluster.key, SWEEP_ORDER, cluster.members)
    for step in range(cluster.members):
        index = cluster.first_member + (first + step) % cluster.members
        member = S.member[index]
        if (
            has_volume(member, window, detector.failure_percentage_request_volume)
            and 100.0 - rate(member, window) >= detector.failure_percentage_threshold
        ):
            detect(S, cluster_index, index, by, now)


# ---------------------------------------------------------------- the two windows


@plane
def begin_windows(member: Member) -> None:
    """Count anew."""
    member.external_total = 0
    member.external_failed = 0
    member.local_total = 0
    member.local_failed = 0


@plane
def requests(member: Member, window: int) -> int:
    """Requests in a window."""
    return member.local_total if window == LOCAL else member.external_total


@plane
def failures(member: Member, window: int) -> int:
    """Failures in a window."""
    return member.local_failed if window == LOCAL else member.external_failed


@plane
def rate(member: Member, window: int) -> float:
    """Success rate in the last window, percent; negative: not known."""
    return member.local_rate if window == LOCAL else member.external_rate


@plane
def set_rate(member: Member, window: int, percent: float) -> None:
    """Keep a success rate."""
    if window == LOCAL:
        member.local_rate = percent
    else:
        member.external_rate = percent


@plane
def set_average(detector: Detector, window: int, mean: float, threshold: float) -> None:
    """Keep the mean of the success rates, and the threshold that follows from it."""
    if window == LOCAL:
        detector.local_average = mean
        detector.local_threshold = threshold
    else:
        detector.external_average = mean
        detector.external_threshold = threshold
