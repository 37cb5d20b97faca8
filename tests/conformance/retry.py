"""Cases of the retry decision, replayed with the data plane's own rules.

* Lists are read as the project reads them; a condition that is not simulated is left out by name.
* `random` is what Envoy draws: the back-off is the remainder by the window, in whole ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from resilim.plane import retry
from resilim.plane.flags import NO_FLAG, UO, URX
from resilim.plane.records import Call
from resilim.plane.resets import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    GRPC,
    LOCAL_RESET,
    OVERFLOW,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE_RESET,
    TERMINATION,
)
from resilim.spec.retry_on import (
    RETRIABLE_STATUS_CODES,
    parse_retry_grpc_on,
    parse_retry_on,
    parse_status_codes,
)
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
from tests.conformance.circuit import budget_fields, flat, take
from tests.conformance.scene import MS, PlaneScene

RESETS = {
    "overflow": OVERFLOW,
    "remote_reset": REMOTE_RESET,
    "local_reset": LOCAL_RESET,
    "connect_failure": CONNECT_FAILURE,
    "connection_failure": CONNECT_FAILURE,
    "remote_connection_failure": CONNECT_FAILURE,
    "local_connection_failure": CONNECT_FAILURE,
    "connection_timeout": CONNECT_TIMEOUT,
    "connect_timeout": CONNECT_TIMEOUT,
    "connection_termination": TERMINATION,
    "remote_refused_stream": REFUSED_STREAM,
    "protocol_error": PROTOCOL_ERROR,
}
DECISIONS = {
    "retry": retry.RETRY_NOW,
    "no": NO_FLAG,
    "no_limit_exceeded": URX,
    "no_overflow": UO,
}
POLICY = {
    *("retry_on", "retry_grpc_on", "num_retries", "retriable_status_codes", "base_interval_ms"),
    *("max_interval_ms", "max_retries", "retry_budget", "retriable_request_headers"),
    *("host_selection_retry_max_attempts", "runtime"),
}
HEADERS = {
    *("x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes"),
}
_USE_RETRY = "use_retry"
_BASE = "base_retry_backoff_ms"
_NOT_SIMULATED = {
    "retriable-headers": "answers have no headers here: no retries by response headers",
    "http3-post-connect-failure": "HTTP/3 is not simulated",
}
_LEFT_OUT = {
    "retriable_headers": _NOT_SIMULATED["retriable-headers"],
    "x-envoy-retriable-header-names": _NOT_SIMULATED["retriable-headers"],
    "rate_limited_retry_back_off": "answers have no headers here: no back-off from reset headers",
}


def replay(case: Case) -> list[str]:
    """What is wrong in a case."""
    try:
        refuse_unknown(case, CASE_KEYS, "case")
        return list(_Decisions(case).run(facts_of(case) if case["events"] else {-1: list(case["expect"])}))
    except Wrong as wrong:
        return [str(wrong)]


# ---------------------------------------------------------------- the policy


class Policy:
    """The retry policy of a request: that of its route, and what its headers add."""

    def __init__(self, config: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        for name in _LEFT_OUT.keys() & {*config, *headers}:
            raise Skip(_LEFT_OUT[name])
        self.runtime = flat(config.get("runtime", {}))
        self.conditions = [
            *_conditions(parse_retry_on, config.get("retry_on", "")),
            *_conditions(parse_retry_on, headers.get("x-envoy-retry-on", "")),
            *_conditions(parse_retry_grpc_on, config.get("retry_grpc_on", "")),
            *_conditions(parse_retry_grpc_on, headers.get("x-envoy-retry-grpc-on", "")),
        ]
        self.exists = bool(self.conditions)
        self.enabled = self.exists and _may_be_retried(config.get("retriable_request_headers"), headers)
        if not self.enabled or not self.runtime.get(_USE_RETRY, True):
            self.conditions = []
        self.retries = int(config.get("num_retries", 1))
        if headers.get("x-envoy-max-retries", "").isdigit():
            self.retries = int(headers["x-envoy-max-retries"])
        self.codes = list(config.get("retriable_status_codes", []))
        self.codes += parse_status_codes(headers.get("x-envoy-retriable-status-codes", ""))
        if RETRIABLE_STATUS_CODES not in self.conditions:
            self.codes = []
        self.base = config.get("base_interval_ms", self.runtime.get(_BASE, 25))
        self.longest = config.get("max_interval_ms", 0)
        self.reselections = int(config.get("host_selection_retry_max_attempts", 1))

    def fields(self) -> dict[str, float]:
        """The fields of a route with this policy."""
        tokens = [retry.TOKENS[name] for name in self.conditions if name != RETRIABLE_STATUS_CODES]
        return {
            "retry_on": sum(set(tokens)),
            "retries": self.retries,
            "codes": len(self.codes),
            "backoff": round(self.base * MS),
            "max_backoff": round(self.longest * MS),
            "reselections": self.reselections,
        }

    def limit_fields(self, config: Mapping[str, Any]) -> dict[str, float]:
        """The fields of a cluster with the limits of this policy."""
        budget = dict(config.get("retry_budget") or {})
        for name, value in self.runtime.items():
            if name in ("budget_percent", "min_retry_concurrency"):
                budget[name] = value
            elif name not in (_USE_RETRY, _BASE):
                raise Wrong(f"runtime: unknown {name}")
        fields: dict[str, float] = {"max_retries": config.get("max_retries", 1)}
        return fields | (budget_fields(budget) if budget or "retry_budget" in config else {})


def _conditions(parse: Callable[[str], tuple[tuple[str, ...], bool]], text: str) -> tuple[str, ...]:
    conditions, _ = parse(text)
    for name in conditions:
        if name in _NOT_SIMULATED:
            raise Skip(_NOT_SIMULATED[name])
    return conditions


def _may_be_retried(matchers: Any, headers: Mapping[str, str]) -> bool:
    """Whether one of the matchers of `retriable_request_headers` fits; without any, all requests do."""
    if not matchers:
        return True
    for matcher in matchers:
        if len(matcher) != 1 or not all(isinstance(value, str) for value in matcher.values()):
            raise Wrong(f"unknown matcher: {matcher}")
    return any(headers.get(name) == value for matcher in matchers for name, value in matcher.items())


# ---------------------------------------------------------------- a script of events


class _Decisions(Script):
    """One request, and what is decided about it."""

    def __init__(self, case: Case) -> None:
        config, headers = case.get("config", {}), case.get("request_headers", {})
        self.policy = Policy(config, headers)
        refuse_unknown(config, POLICY, "config")
        refuse_unknown({name for name in headers if name.startswith("x-envoy-")}, HEADERS, "request_headers")
        self.case = case
        self.config = config
        self.scene = PlaneScene(1, **self.policy.fields(), **self.policy.limit_fields(config))
        self.scene.S.code = list(self.policy.codes)
        self.call: Call = self.scene.S.call[0]
        self.call.attempts = 1
        self.random: Iterator[int] = iter(case.get("random", []))
        self.found: dict[str, Any] = {}
        self.events = {
            "response": (self._response, {"headers"}),
            "reset": (self._reset, {"upstream_request_started"}),
            "outstanding": (self._outstanding, {"add"}),
            "set_budget_percent": (self._set_budget, set()),
            "destroy": (self._destroy, set()),
            "parse_retry_on": (self._parse, set()),
            "parse_retry_grpc_on": (self._parse, set()),
        }

    def play(self, event: dict[str, Any]) -> None:
        """One event; nothing is found yet."""
        self.found = {}
        super().play(event)

    # ------------------------------------------------------------ events

    def _response(self, event: dict[str, Any]) -> None:
        headers = dict(event.get("headers", {}))
        rate_limited = int("x-envoy-ratelimited" in headers)
        outcomes = [int(event["response"])]
        if int(headers.get("grpc-status", 0)):
            outcomes.append(GRPC + int(headers["grpc-status"]))
        route = self.scene.route
        self._decide(
            any(retry.qualifies(self.scene.S, route, outcome, 1, rate_limited) for outcome in outcomes)
        )

    def _reset(self, event: dict[str, Any]) -> None:
        sent = int(event.get("upstream_request_started", True))
        reset = look_up(RESETS, event["reset"], "reset")
        self._decide(retry.qualifies(self.scene.S, self.scene.route, reset, sent, 0))

    def _decide(self, wanted: bool) -> None:
        if not self.policy.exists:
            raise Wrong("a decision without a retry policy")
        verdict = retry.decide(self.scene.S, self.call, self.scene.cluster, self.scene.route, wanted)
        self.found["decision"] = next(name for name, flags in DECISIONS.items() if flags == verdict)
        if verdict != retry.RETRY_NOW:
            return
        drawn = next(self.random, None)
        if drawn is not None:
            self.found["backoff_ms"] = drawn % retry.backoff_window(self.scene.route, self.call.attempts)
        self.call.attempts += 1

    def _outstanding(self, event: dict[str, Any]) -> None:
        take(self.scene.cluster, event["outstanding"], int(event["add"]))

    def _set_budget(self, event: dict[str, Any]) -> None:
        self.scene.cluster.budget_percent = float(event["set_budget_percent"])

    def _destroy(self, event: dict[str, Any]) -> None:
        must_be_true(event, "destroy")
        if self.call.retrying:
            retry.release_place(self.call, self.scene.cluster)

    def _parse(self, event: dict[str, Any]) -> None:
        if "parse_retry_on" in event:
            parsed, all_valid = parse_retry_on(event["parse_retry_on"])
        else:
            parsed, all_valid = parse_retry_grpc_on(event["parse_retry_grpc_on"])
        self.found |= {"parsed": list(parsed), "all_valid": all_valid}

    # ------------------------------------------------------------ expectations

    def check(self, fact: dict[str, Any]) -> Iterator[str]:
        if "stat" in fact:
            refuse_unknown(fact, {"after", "stat", "value"}, "expectation")
            stats = statistics_of(self.scene.cluster, self.config)
            found = statistic(fact["stat"], stats, self.scene.S.member)
            yield from compare(fact["stat"], found, fact["value"])
            return
        known = {
            "decision": None,
            "backoff_ms": None,
            "parsed": None,
            "all_valid": None,
            "retry_state": None if not self.policy.exists else "there",
            "enabled": self.policy.enabled,
            "host_selection_max_attempts": self.scene.route.reselections,
            **self.found,
        }
        refuse_unknown(fact, {"after", *known}, "expectation")
        if not fact.keys() & known.keys():
            raise Wrong(f"nothing is expected: {fact}")
        for name in known.keys() & fact.keys():
            yield from compare(name, known[name], fact[name])
