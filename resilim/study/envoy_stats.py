"""Envoy's own counters and gauges, by Envoy's own names, from what is there at the end of a run.

* `STATISTICS` is all that is written; `resilim explain` explains each of them.
* A statistic that stayed at zero is written too, as Envoy does; those of outlier detection, health checks and
  rate limits only where there are any.
* Counters run from the start of the run, warm-up included; gauges are of its end, when the load is over.
* One block a proxy: a host, or the client inside the mesh. Clusters are named as Istio names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from resilim.plan import CLIENT_PROXY, Names
from resilim.run import Array, Recording
from resilim.spec.units import printable

Fields = Mapping[str, float]  # one record: its values by field
Statistics = Iterator[tuple[str, float]]

# Fields of a cluster whose Envoy name is `upstream_` and the field.
_REQUESTS = (
    "rq_total", "rq_4xx", "rq_503", "rq_504", "rq_pending_total", "rq_pending_overflow",
    "rq_active_overflow", "rq_pending_failure_eject", "rq_cancelled", "rq_timeout", "rq_per_try_timeout",
    "rq_max_duration_reached", "rq_rx_reset", "rq_tx_reset", "rq_retry", "rq_retry_success",
    "rq_retry_overflow", "rq_retry_limit_exceeded",
)  # fmt: skip
_CONNECTIONS = (
    "cx_total", "cx_overflow", "cx_pool_overflow", "cx_connect_fail", "cx_connect_timeout", "cx_destroy",
    "cx_destroy_local", "cx_destroy_remote", "cx_destroy_with_active_rq", "cx_destroy_local_with_active_rq",
    "cx_destroy_remote_with_active_rq", "cx_close_notify", "cx_max_requests", "cx_max_duration_reached",
    "cx_idle_timeout",
)  # fmt: skip
# Envoy's name of an ejection's reason, and how the fields of a detector name it.
_REASONS = {
    "consecutive_5xx": "5xx",
    "consecutive_gateway_failure": "gateway",
    "consecutive_local_origin_failure": "local",
    "success_rate": "success_rate",
    "local_origin_success_rate": "local_success_rate",
    "failure_percentage": "failure_percentage",
    "local_origin_failure_percentage": "local_failure_percentage",
}
_CHECKS = ("attempt", "success", "failure", "network_failure")
_RATE_LIMIT = {"enabled": "counted", "enforced": "refused", "ok": "ok", "rate_limited": "limited"}
_FAULTS = ("aborts_injected", "active_faults", "delays_injected")

# What stands before the statistics of a proxy's own filters; it is configured in Envoy too.
_FAULT_PREFIX = "http.outbound_0.0.0.0_80;."
_RATE_LIMIT_PREFIX = "http_local_rate_limiter."

PORT = 80


# ---------------------------------------------------------------- one cluster


def stats_lines(
    cluster: Fields, detector: Fields, checker: Fields, members: Sequence[Fields]
) -> list[tuple[str, int]]:
    """The statistics of one cluster by name, without what Envoy writes before it, in Envoy's order.

    `cluster`, `detector`, `checker`, `members`: records at the end of the run. Without a detector or a
    checker (`interval` 0), theirs are not there.
    """
    parts = [_requests(cluster), _connections(cluster), _breakers(cluster), _hosts(cluster, members)]
    if detector["interval"] > 0:
        parts.append(_outliers(detector))
    if checker["interval"] > 0:
        parts.append(_checks(checker, members))
    return sorted((name, int(value)) for name, value in chain.from_iterable(parts))


def _requests(cluster: Fields) -> Statistics:
    for field in _REQUESTS:
        yield f"upstream_{field}", cluster[field]
    ended = cluster["calls_ended"] + cluster["shadows_ended"]
    completed = ended - cluster["calls_left"] - cluster["rq_uncharged"]
    errors = cluster["rq_5xx"]
    good = completed - cluster["rq_4xx"] - errors
    yield "upstream_rq_completed", completed
    yield "upstream_rq_5xx", errors
    yield "upstream_rq_2xx", good
    yield "upstream_rq_200", good  # no host answers with another 2xx
    yield "upstream_rq_active", cluster["rq_active"]
    yield "upstream_rq_pending_active", cluster["rq_pending"]
    yield "upstream_rq_retry_backoff_exponential", cluster["rq_retry"]
    yield "upstream_rq_drop_overload", cluster["dropped"]
    yield "retry.upstream_rq_5xx", cluster["retried_5xx"]


def _connections(cluster: Fields) -> Statistics:
    for field in _CONNECTIONS:
        yield f"upstream_{field}", cluster[field]
    yield "upstream_cx_http1_total", 0 if cluster["multiplexed"] else cluster["cx_total"]
    yield "upstream_cx_http2_total", cluster["cx_total"] if cluster["multiplexed"] else 0
    yield "upstream_cx_active", cluster["cx_active"]
    yield "upstream_cx_none_healthy", cluster["none_healthy"]


def _breakers(cluster: Fields) -> Statistics:
    """Whether each number has reached its limit, and what is left of it."""
    limits = {
        ("cx", "cx"): (cluster["cx_active"], cluster["max_connections"]),
        ("rq_pending", "pending"): (cluster["rq_pending"], cluster["max_pending"]),
        ("rq", "rq"): (cluster["rq_active"], cluster["max_requests"]),
        ("rq_retry", "retries"): (cluster["rq_retrying"], _most_retries(cluster)),
        ("cx_pool", "cx_pools"): (cluster["pools_active"], cluster["max_pools"]),
    }
    for (limited, left), (number, limit) in limits.items():
        yield f"circuit_breakers.default.{limited}_open", number >= limit
        unknown = left == "retries" and _has_budget(cluster)  # Envoy's gauge stays at 0 then
        yield f"circuit_breakers.default.remaining_{left}", 0 if unknown else max(0, limit - number)


def _has_budget(cluster: Fields) -> bool:
    return cluster["budget_percent"] >= 0


def _most_retries(cluster: Fields) -> float:
    """The limit of retries outstanding, as it is at the end of the run."""
    if not _has_budget(cluster):
        return cluster["max_retries"]
    share = int(cluster["budget_percent"] / 100 * (cluster["rq_active"] + cluster["rq_pending"]))
    return max(share, cluster["budget_least"])


def _hosts(cluster: Fields, members: Sequence[Fields]) -> Statistics:
    there = [member for member in members if not member["removed"]]
    usable = [m for m in there if not (m["ejected"] or m["check_failed"] or m["excluded"])]
    degraded = sum(bool(member["degraded"]) for member in usable)
    yield "membership_total", len(there)
    yield "membership_healthy", len(usable) - degraded
    yield "membership_degraded", degraded
    yield "membership_excluded", sum(bool(member["excluded"]) for member in there)
    yield "lb_healthy_panic", cluster["healthy_panic"]


def _outliers(detector: Fields) -> Statistics:
    head = "outlier_detection.ejections"
    yield f"{head}_active", detector["active"]
    yield f"{head}_overflow", detector["overflow"]
    yield f"{head}_enforced_total", detector["enforced_total"]
    yield f"{head}_total", detector["total"]
    yield f"{head}_consecutive_5xx", detector["detected_5xx"]
    for name, field in _REASONS.items():
        yield f"{head}_detected_{name}", detector[f"detected_{field}"]
        yield f"{head}_enforced_{name}", detector[f"enforced_{field}"]


def _checks(checker: Fields, members: Sequence[Fields]) -> Statistics:
    for name in _CHECKS:
        yield f"health_check.{name}", checker[name]
    yield "health_check.healthy", sum(not (m["removed"] or m["check_failed"]) for m in members)


# ---------------------------------------------------------------- one run


def cluster_name(service: str, subset: str) -> str:
    """The name of a cluster as Istio has Envoy write it; the semicolon ends it."""
    return f"outbound|{PORT}|{subset}|{service}.default.svc.cluster.local;"


def stats_text(recording: Recording, names: Names) -> str:
    """The statistics of all proxies of a run: a line `name: value` each, a block a proxy."""
    return "\n\n".join("\n".join(block) for block in _blocks(recording, names)) + "\n"


def cluster_statistics(recording: Recording, index: int) -> list[tuple[str, int]]:
    """The statistics of one cluster of a run, see `stats_lines`."""
    (cluster,) = _records(recording.clusters[index : index + 1])
    (detector,) = _records(recording.detectors[index : index + 1])
    (checker,) = _records(recording.checkers[index : index + 1])
    first, end = int(cluster["first_member"]), int(cluster["first_member"] + cluster["members"])
    return stats_lines(cluster, detector, checker, _records(recording.members[first:end]))


def _blocks(recording: Recording, names: Names) -> Iterator[list[str]]:
    of_proxy: dict[str, list[int]] = {}
    for index, (proxy, _, _) in enumerate(names.clusters):
        of_proxy.setdefault(proxy, []).append(index)
    limits = _rate_limits(recording, names)
    for proxy in (CLIENT_PROXY, *names.hosts):
        own = of_proxy.get(proxy, [])
        lines = [line for index in own for line in _of_cluster(recording, names, index)]
        lines += _faults(recording, own) if own else []
        lines += limits.get(proxy, [])
        if lines:
            yield [f"# {printable(proxy)}", *lines]


def _of_cluster(recording: Recording, names: Names, index: int) -> Iterator[str]:
    _, service, subset = names.clusters[index]
    head = printable(f"cluster.{cluster_name(service, subset)}")
    for name, value in cluster_statistics(recording, index):
        yield f"{head}.{name}: {value}"


def _faults(recording: Recording, clusters: list[int]) -> Iterator[str]:
    """The lines of the fault filter of a proxy with these clusters."""
    for field in _FAULTS:
        yield f"{_FAULT_PREFIX}fault.{field}: {int(recording.clusters[field][clusters].sum())}"


def _rate_limits(recording: Recording, names: Names) -> dict[str, list[str]]:
    """The lines of the local rate limit of each host that has one."""
    buckets = _records(recording.buckets)
    lines = {}
    for host, bucket in zip(names.hosts, recording.hosts["bucket"].tolist(), strict=False):
        if bucket >= 0:
            lines[host] = [
                f"{_RATE_LIMIT_PREFIX}http_local_rate_limit.{name}: {int(buckets[bucket][field])}"
                for name, field in _RATE_LIMIT.items()
            ]
    return lines


def _records(table: Array) -> list[dict[str, float]]:
    """The records of a table, each as its values by field."""
    fields = table.dtype.names or ()
    return [dict(zip(fields, row, strict=True)) for row in table.tolist()]


# ---------------------------------------------------------------- what there is


def _kind(name: str, of: str) -> str:
    """Whether a statistic counts up or is of now."""
    is_gauge = (
        name.endswith(("_active", "_open", ".healthy", ".active_faults"))
        or name.startswith("membership_")
        or ".remaining_" in name
    )
    return f"{'gauge' if is_gauge else 'counter'} of a {of}"


class _Zeros(dict[str, float]):
    """A record of zeros, in which everything is there."""

    def __missing__(self, field: str) -> float:
        return 1.0 if field == "interval" else 0.0


def _statistics() -> dict[str, str]:
    zeros = _Zeros()
    of_cluster = [name for name, _ in stats_lines(zeros, zeros, zeros, ())]
    of_proxy = [f"fault.{name}" for name in _FAULTS] + [
        f"http_local_rate_limit.{name}" for name in _RATE_LIMIT
    ]
    return {
        **{name: _kind(name, "cluster") for name in of_cluster},
        **{name: _kind(name, "proxy") for name in of_proxy},
    }


# Every statistic that is written and what it is: "counter of a cluster", "gauge of a proxy".
STATISTICS = _statistics()
