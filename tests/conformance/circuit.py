"""Cases of circuit breakers and connection pools, replayed with the data plane's own pools.

* A request is a client's call without retries and timeouts; its host is the one that the case names.
* HTTP/1.1 hands a connection over at once; where a case defers that (`defer_reuse`) the replay does.
* `protocol: tcp` is an HTTP/1.1 pool without a limit of requests. Draining a TCP pool leaves one request to
  each connection that is being set up: legacy behaviour that no other pool has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from unittest.mock import patch

from resilim.plane import pool, retry, streams
from resilim.plane.flags import DC, UO
from resilim.plane.machine import State
from resilim.plane.records import UNLIMITED, Cluster
from resilim.plane.resets import CONNECT_FAILURE, CONNECT_TIMEOUT, TERMINATION
from tests.conformance.cases import Case, Skip
from tests.conformance.checks import (
    CASE_KEYS,
    Script,
    Wrong,
    compare,
    facts_of,
    look_up,
    must_be_true,
    refuse_unknown,
    statistic,
    statistics_of,
)
from tests.conformance.scene import SECOND, PlaneScene

_GUARDS = ("envoy.reloadable_features.", "skip_pending_overflow_count_on_active_rq")
_DEFAULT = 1024  # limits that a case does not give; HTTP/2 streams of one connection too

# Limits by Envoy's names, and the fields of a cluster.
LIMITS = {
    "max_connections": "max_connections",
    "max_pending_requests": "max_pending",
    "max_requests": "max_requests",
    "max_retries": "max_retries",
    "max_connection_pools": "max_pools",
}
# Where the cluster counts what a limit is about.
_RESOURCES = {
    "connections": ("cx_active", "max_connections"),
    "pending_requests": ("rq_pending", "max_pending_requests"),
    "requests": ("rq_active", "max_requests"),
    "retries": ("rq_retrying", "max_retries"),
    "connection_pools": ("pools_active", "max_connection_pools"),
}
_PRELOAD = {"pending": "pending_requests", **{name: name for name in _RESOURCES}}
_PROTOCOLS = {"http1": 0, "http2": 1, "tcp": 0}
_HEALTH = {"healthy": "", "degraded": "degraded", "unhealthy": "check_failed"}
_DURATIONS = ("max_connection_duration", "idle_timeout", "connect_timeout")
_CONFIG = {
    *LIMITS,
    *_DURATIONS,
    *("protocol", "per_host_max_connections", "max_requests_per_connection", "http2_max_concurrent_streams"),
    *("per_upstream_preconnect_ratio", "host_health", "preload"),
    *("retry_budget", "runtime", "track_remaining"),
}
# How a set-up fails: the reset, and who closes.
HOW = {
    "remote_close": (CONNECT_FAILURE, pool.REMOTE),
    "local_close": (CONNECT_FAILURE, pool.LOCAL),
    "timeout": (CONNECT_TIMEOUT, pool.LOCAL),
}
BY = {"remote": pool.REMOTE, "local": pool.LOCAL}
_POLICIES = {"default": False, "close_excess": True}


def replay(case: Case) -> list[str]:
    """What is wrong in a case."""
    try:
        refuse_unknown(case, CASE_KEYS, "case")
        refuse_unknown(case.get("config", {}), _CONFIG, "config")
        replayed = (_Resources if case.get("kind") == "resource-manager" else _Circuit)(case)
        with replayed.scene.playing():
            return list(replayed.run(facts_of(case)))
    except Wrong as wrong:
        return [str(wrong)]


# ---------------------------------------------------------------- config


def cluster_fields(config: Mapping[str, Any]) -> dict[str, float]:
    """The fields of a cluster with this config."""
    protocol = config.get("protocol", "http1")
    multiplexed = look_up(_PROTOCOLS, protocol, "protocol")
    fields: dict[str, float] = {field: config.get(name, _DEFAULT) for name, field in LIMITS.items()}
    fields["multiplexed"] = multiplexed
    if multiplexed:
        fields["streams"] = config.get("http2_max_concurrent_streams", _DEFAULT) or UNLIMITED
    fields["requests_per_connection"] = config.get("max_requests_per_connection", 0)
    if protocol == "tcp":
        fields["max_requests"] = UNLIMITED
        fields["requests_per_connection"] = fields["requests_per_connection"] or UNLIMITED
    fields["max_host_connections"] = config.get("per_host_max_connections", UNLIMITED)
    fields["preconnect"] = config.get("per_upstream_preconnect_ratio", 1.0)
    for name in _DURATIONS:
        fields[name] = round(config.get(name, 0) * SECOND)
    budget = config.get("retry_budget")
    if budget is not None:
        fields |= budget_fields(budget)
    return fields | _runtime_fields(config.get("runtime", {}))


def budget_fields(budget: Mapping[str, Any]) -> dict[str, float]:
    """The fields of a cluster with this retry budget: 20 % and 3 by default."""
    refuse_unknown(budget, {"budget_percent", "min_retry_concurrency"}, "retry_budget")
    return {
        "budget_percent": budget.get("budget_percent", 20.0),
        "budget_least": budget.get("min_retry_concurrency", 3),
    }


def flat(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """Runtime values by the last words of their names, also where a case nests them."""
    values: dict[str, Any] = {}
    for name, value in runtime.items():
        if isinstance(value, Mapping):
            values |= flat(value)
        elif not name.startswith(_GUARDS):
            values[name.rpartition(".")[2]] = value
        elif not value:
            raise Skip(f"old behaviour, which a runtime guard brings back: {name}")
    return values


def _runtime_fields(runtime: Mapping[str, Any]) -> dict[str, float]:
    """The fields of a cluster that runtime values override."""
    fields: dict[str, float] = {}
    budget = {}
    for name, value in flat(runtime).items():
        if name in LIMITS:
            fields[LIMITS[name]] = value
        elif name in ("budget_percent", "min_retry_concurrency"):
            budget[name] = value
        else:
            raise Wrong(f"runtime: unknown {name}")
    return fields | (budget_fields(budget) if budget else {})


def preload(cluster: Cluster, slots: Mapping[str, Any]) -> None:
    """Take slots that are in use elsewhere in the cluster."""
    for name, number in slots.items():
        take(cluster, look_up(_PRELOAD, name, "preload"), number)


def take(cluster: Cluster, resource: str, number: int) -> None:
    """Take slots of a resource, or give them back."""
    field, _ = look_up(_RESOURCES, resource, "resource")
    setattr(cluster, field, getattr(cluster, field) + number)


def limit_of(cluster: Cluster, resource: str) -> int:
    """The limit of a resource now."""
    _, name = look_up(_RESOURCES, resource, "limit")
    if resource == "retries":
        return retry.most_retries(cluster)
    return int(getattr(cluster, LIMITS[name]))


# ---------------------------------------------------------------- a script of events


class _Replay(Script):
    """What all cases here share."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.config: dict[str, Any] = dict(case.get("config", {}))
        self.scene = PlaneScene(case.get("hosts", 1), **cluster_fields(self.config))
        preload(self.scene.cluster, self.config.get("preload", {}))

    def play(self, event: dict[str, Any]) -> None:
        """One event, at its time."""
        if "t" in event:
            self.scene.at(round(event["t"] * SECOND))
        super().play(event)

    def check(self, fact: dict[str, Any]) -> Iterator[str]:
        """What is not as expected."""
        if "stat" in fact:
            refuse_unknown(fact, {"after", "stat", "value"}, "expectation")
            stats = statistics_of(self.scene.cluster, self.config)
            found = statistic(fact["stat"], stats, self.scene.S.member)
            return compare(fact["stat"], found, fact["value"])
        if "limit" in fact:
            refuse_unknown(fact, {"after", "limit", "value"}, "expectation")
            return compare(fact["limit"], limit_of(self.scene.cluster, fact["limit"]), fact["value"])
        raise Wrong(f"unknown expectation: {fact}")


class _Resources(_Replay):
    """A case of limits alone: slots are taken and given back."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.events = {"resource": (self._change, {"op"})}

    def _change(self, event: dict[str, Any]) -> None:
        take(self.scene.cluster, event["resource"], look_up({"inc": 1, "dec": -1}, event.get("op"), "op"))


class _Circuit(_Replay):
    """A case of requests and connections."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.keys: dict[str, int] = {}
        self.after_failure: dict[int, str] = {}  # request to submit when one with a key has failed
        self.host_of: dict[int, int] = {}
        self.failed: list[str] = []
        self.closed_by: dict[int, int] = {}  # who ended the connection of a failed request
        self.deferred: list[int] = []  # pools whose waiting requests have not been served yet
        self.created: bool | None = None
        self.by = pool.REMOTE
        self.scene.on_end = self._ended
        health = look_up(_HEALTH, self.config.get("host_health", "healthy"), "host_health")
        if health:
            for member in self.scene.S.member:
                setattr(member, health, 1)
        self.events = {
            "request": (self._request, {"host", "on_failure_request"}),
            "connected": (lambda event: self.scene.connected(event["connected"]), set()),
            "connect_failed": (self._connect_failed, {"how"}),
            "complete": (self._complete, {"defer_reuse", "connection_close"}),
            "run_deferred": (self._run_deferred, set()),
            "close": (self._close, {"by"}),
            "cancel": (self._cancel, {"policy"}),
            "drain": (self._drain, {"host"}),
            "goaway": (self._go_away, set()),
            "preconnect": (self._preconnect, {"host"}),
            "advance": (partial(must_be_true, word="advance"), set()),
        }

    # ------------------------------------------------------------ events

    def _request(self, event: dict[str, Any]) -> None:
        self._submit(event["request"], self._host(event), event.get("on_failure_request"))

    def _host(self, event: dict[str, Any]) -> int:
        host = event.get("host", 0)
        if host not in range(len(self.scene.S.member)):
            raise Wrong(f"no such host: {host}")
        return int(host)

    def _submit(self, name: str, host: int, next_name: str | None = None) -> None:
        if name in self.keys:
            raise Wrong(f"a second request {name}")
        key = self.keys[name] = len(self.keys) + 1
        self.host_of[key] = host
        if next_name is not None:
            self.after_failure[key] = next_name
        self.scene.member = host
        self.scene.begin(key)
        if key in self.scene.outcomes and name not in self.failed:
            self._ended(key)

    def _ended(self, key: int) -> None:
        outcome = self.scene.outcomes[key]
        if outcome.code == 200 or outcome.flags & DC:
            return
        self.failed.append(self._name(key))
        self.closed_by[key] = self.by
        if key in self.after_failure:
            self._submit(self.after_failure.pop(key), self.host_of[key])

    def _name(self, key: int) -> str:
        return next(name for name, its in self.keys.items() if its == key)

    def _connect_failed(self, event: dict[str, Any]) -> None:
        reset, self.by = look_up(HOW, event.get("how", "remote_close"), "how")
        self.scene.connect_failed(event["connect_failed"], reset, self.by)

    def _complete(self, event: dict[str, Any]) -> None:
        scene = self.scene
        attempt = scene.attempt(self._key(event["complete"]))
        if attempt.connection < 0:
            raise Wrong(f"request {event['complete']} is not on a connection")
        if event.get("connection_close"):
            pool.go_away(scene.S, scene.cluster, attempt.connection)
        index = scene.call(self._key(event["complete"])).attempt
        if not event.get("defer_reuse"):
            scene.answer(index, 200)
            return
        with patch.object(streams, "serve", self._defer):
            scene.answer(index, 200)

    def _defer(self, S: State, now: int, pool_index: int) -> None:
        self.deferred.append(pool_index)

    def _run_deferred(self, event: dict[str, Any]) -> None:
        must_be_true(event, "run_deferred")
        while self.deferred:
            streams.serve(self.scene.S, self.scene.now, self.deferred.pop(0))
        self.scene.settle()

    def _key(self, name: str) -> int:
        if name not in self.keys:
            raise Wrong(f"no request {name}")
        return self.keys[name]

    def _close(self, event: dict[str, Any]) -> None:
        self.by = look_up(BY, event.get("by", "remote"), "by")
        self.scene.close(event["close"], self.by, TERMINATION)

    def _cancel(self, event: dict[str, Any]) -> None:
        scene = self.scene
        attempt = scene.attempt(self._key(event["cancel"]))
        pool_index = attempt.pool
        waited = attempt.connection < 0
        with patch.object(scene.route, "timeout_flag", DC):
            scene.give_up(self._key(event["cancel"]))
        if look_up(_POLICIES, event.get("policy", "default"), "policy") and waited:
            pool.cancel_surplus(scene.S, scene.cluster, pool_index)

    def _drain(self, event: dict[str, Any]) -> None:
        look_up({"existing": 0}, event["drain"], "drain")
        scene = self.scene
        for host in [self._host(event)] if "host" in event else range(len(scene.S.member)):
            pool.drain_member(scene.S, scene.cluster, host, scene.now)
        if self.config.get("protocol") == "tcp":
            for index in scene.connections.values():
                if scene.S.connection[index].state == pool.CONNECTING:
                    scene.S.connection[index].left = 1

    def _go_away(self, event: dict[str, Any]) -> None:
        index, _ = self.scene.connection(event["goaway"])
        pool.go_away(self.scene.S, self.scene.cluster, index)

    def _preconnect(self, event: dict[str, Any]) -> None:
        scene = self.scene
        host = self._host(event)
        self.created = pool.preconnect(scene.S, scene.cluster, host, event["preconnect"], scene.now)

    # ------------------------------------------------------------ expectations

    def check(self, fact: dict[str, Any]) -> Iterator[str]:
        """What is not as expected."""
        checks: dict[str, tuple[Callable[[dict[str, Any]], Iterator[str]], set[str]]] = {
            "request": (self._check_request, {"state", "reason", "connection"}),
            "failure_order": (self._check_order, set()),
            "histogram": (self._check_histogram, {"last"}),
            **{name: (partial(self._check_number, name), set()) for name in self._numbers()},
        }
        what = next((word for word in checks if word in fact), None)
        if what is None:
            return super().check(fact)
        check, words = checks[what]
        refuse_unknown(fact, {"after", what, *words}, "expectation")
        return check(fact)

    def _numbers(self) -> dict[str, Any]:
        scene = self.scene
        return {
            "open_connections": scene.cluster.cx_active,
            "connections_created": scene.cluster.cx_total,
            "connecting_capacity": sum(each.connecting_capacity for each in scene.S.pool),
            "created": self.created,
        }

    def _check_number(self, name: str, fact: dict[str, Any]) -> Iterator[str]:
        return compare(name, self._numbers()[name], fact[name])

    def _check_order(self, fact: dict[str, Any]) -> Iterator[str]:
        wanted = list(fact["failure_order"])
        return compare("failure_order", self.failed[-len(wanted) :], wanted)

    def _check_histogram(self, fact: dict[str, Any]) -> Iterator[str]:
        if fact["histogram"] not in ("upstream_cx_connect_ms", "upstream_cx_length_ms"):
            raise Wrong(f"unknown histogram: {fact['histogram']}")
        return compare(fact["histogram"], self.scene.last.get(fact["histogram"]), fact["last"])

    def _check_request(self, fact: dict[str, Any]) -> Iterator[str]:
        found = self._request_now(self._key(fact["request"]))
        if not fact.keys() & found.keys():
            raise Wrong(f"nothing is expected: {fact}")
        for name in found.keys() & fact.keys():
            yield from compare(f"request {fact['request']}: {name}", found[name], fact[name])

    def _request_now(self, key: int) -> dict[str, Any]:
        """State of a request, why it failed, and the connection it is on."""
        scene = self.scene
        if key not in scene.outcomes:
            index = scene.attempt(key).connection
            state = "active" if index >= 0 else "pending"
            return {"state": state, "reason": None, "connection": scene.name_of(index)}
        outcome, reset = scene.outcomes[key], scene.resets.get(key, 0)
        if outcome.flags & DC:
            return {"state": "cancelled", "reason": None, "connection": None}
        if reset == TERMINATION:
            return {"state": "reset", "reason": "connection_termination", "connection": None}
        if outcome.code == 200:
            return {"state": "done", "reason": None, "connection": None}
        return {"state": "failed", "reason": self._reason(key, reset), "connection": None}

    def _reason(self, key: int, reset: int) -> str:
        if reset == CONNECT_TIMEOUT:
            return "timeout"
        if reset == CONNECT_FAILURE:
            side = "local" if self.closed_by[key] == pool.LOCAL else "remote"
            return f"{side}_connection_failure"
        return "overflow" if self.scene.outcomes[key].flags & UO else "unknown"
