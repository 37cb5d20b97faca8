"""Cases of one client request at its caller's proxy, replayed from its first attempt to its outcome.

* Every attempt waits in its pool first; `bound` lets the set-up of its connection succeed. Connections
  without a stream are closed before an attempt, so that each has one of its own.
* Timers and back-offs end when an event says so, whatever the clock says: times of a case are illustrative.
* An answer is one event here, its headers are its end: nothing can cut it, and nobody sends a body.
* The texts that Envoy adds to its own replies follow from the response flag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from resilim.plane import balance, filters, outcome, outlier, pool, retry
from resilim.plane.flags import DO, NAMES, UH, UO, UT
from resilim.plane.machine import State
from resilim.plane.records import NONE, UNLIMITED
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
from tests.conformance.cases import Case, Skip
from tests.conformance.checks import (
    CASE_KEYS,
    Wrong,
    compare,
    look_up,
    must_be_true,
    refuse_unknown,
    statistic,
    statistics_of,
)
from tests.conformance.circuit import HOW, LIMITS
from tests.conformance.retry import DECISIONS, HEADERS, POLICY, RESETS, Policy
from tests.conformance.scene import MS, SECOND, PlaneScene

_KEY = 1
_CONFIG = {
    *POLICY,
    *LIMITS,
    *("route_timeout", "per_try_timeout", "hedge_on_per_try_timeout", "drop_overload", "random_fraction"),
}
_OF_ATTEMPT = {
    *(
        "queued",
        "bound",
        "connect_failed",
        "informational",
        "response",
        "response_headers",
        "response_end",
        "reset",
    ),
}
_LEFT_OUT = {
    "body_bytes": "requests have no bodies here, and no buffer that could overflow",
}
_ALT_RESPONSE = "x-envoy-upstream-rq-timeout-alt-response"
_ROUTER_HEADERS = {
    *HEADERS,
    _ALT_RESPONSE,
    *("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"),
    *("x-envoy-hedge-on-per-try-timeout", "x-envoy-internal"),
}
_HOW = {
    **HOW,
    "remote_connection_failure": HOW["remote_close"],
    "local_connection_failure": HOW["local_close"],
    "connect_failure": HOW["remote_close"],
    "connect_timeout": HOW["timeout"],
}
_RESULTS = {
    outlier.CONNECT_FAILURE: "connect_failure",
    outlier.TIMEOUT: "timeout",
    outlier.CONNECT_SUCCESS_FINAL: "connect_success_final",
    outlier.EXT_SUCCESS: "ext_success",
    outlier.EXT_FAILURE: "ext_failure",
}
_FINAL = {
    *("client_status", "flag", "attempts", "from_attempt", "reset_attempts", "truncated", "headers", "body"),
}
# What Envoy writes into its own replies.
_BODIES = {UH: "no healthy upstream", UT: "upstream request timeout", DO: "drop overload"}
_RESET = "upstream connect error or disconnect/reset before headers. "
_REASONS = {
    OVERFLOW: "overflow",
    REMOTE_RESET: "remote reset",
    LOCAL_RESET: "local reset",
    REFUSED_STREAM: "remote refused stream reset",
    TERMINATION: "connection termination",
    PROTOCOL_ERROR: "protocol error",
    CONNECT_FAILURE: "remote connection failure",
    CONNECT_TIMEOUT: "connection timeout",
}
# The HTTP statuses below 500 that stand for a grpc-status; the plane does not tell them apart.
_GRPC_4XX = {1: 499, 3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 16: 401}


def replay(case: Case) -> list[str]:
    """What is wrong in a case."""
    try:
        refuse_unknown(case, CASE_KEYS, "case")
        if not case["expect"]:
            raise Wrong("nothing is expected")
        return list(_Request(case).run())
    except Wrong as wrong:
        return [str(wrong)]


class _Request:
    """The life of one client request."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.config: dict[str, Any] = dict(case.get("config", {}))
        headers = dict(case.get("request_headers", {}))
        own = {name for name in headers if name.startswith("x-envoy-")}
        policy = Policy(self.config, headers)
        refuse_unknown(self.config, _CONFIG, "config")
        refuse_unknown(own, _ROUTER_HEADERS, "request_headers")
        self.scene = PlaneScene(1, **self._fields(policy, headers))
        self.scene.S.code = list(policy.codes)
        self.has_begun = False
        self.numbers: dict[int, int] = {}  # the record of an attempt in flight, by its number
        self.winner: int | None = None  # the attempt whose end was that of the request
        self.was_reset: set[int] = set()  # attempts that ended without an answer
        self.cut: set[int] = set()  # attempts that were reset by the proxy
        self.headers_only: set[int] = set()  # attempts that have their headers, but not their end
        self.reports: list[Any] = []
        self.retried: Counter[str] = Counter()
        self.forced: int | None = None
        self.events: dict[str, Callable[[dict[str, Any]], None]] = {
            "queued": self._queued,
            "informational": self._informational,
            "bound": self._bound,
            "connect_failed": self._connect_failed,
            "response": self._response,
            "response_headers": self._response,
            "response_end": self._response_end,
            "reset": self._reset,
            "per_try_timeout": self._per_try_timeout,
            "route_timeout": self._route_timeout,
            "no_host": self._no_host,
        }

    def _fields(self, policy: Policy, headers: Mapping[str, str]) -> dict[str, float]:
        config = self.config
        timeout = _duration(config, "route_timeout", headers, "x-envoy-upstream-rq-timeout-ms")
        per_try = _duration(config, "per_try_timeout", headers, "x-envoy-upstream-rq-per-try-timeout-ms")
        hedges = config.get("hedge_on_per_try_timeout", False)
        hedges = headers.get("x-envoy-hedge-on-per-try-timeout", str(hedges).lower()) == "true"
        fields: dict[str, float] = {
            **policy.fields(),
            **policy.limit_fields({"max_retries": UNLIMITED, **config}),
            **{field: config[name] for name, field in LIMITS.items() if name in config},
            "watched": 1,
            "timeout": timeout,
            "timeout_code": 204 if _ALT_RESPONSE in headers else 504,
            "per_try_timeout": per_try if timeout == 0 or per_try < timeout else 0,
            "hedges": int(hedges),
        }
        if not policy.exists:
            fields["retries"] = 0
        if "drop_overload" in config:
            fields |= {"filters": filters.HAS_DROP, "drop_share": config["drop_overload"]}
        return fields

    # ------------------------------------------------------------ the script

    def run(self) -> Iterator[str]:
        """Replay the events, and check what is expected at the end."""
        with self.scene.playing(), ExitStack() as stack:
            stack.enter_context(patch.object(outlier, "response", self._answer_reported))
            stack.enter_context(patch.object(outlier, "report", self._result_reported))
            stack.enter_context(patch.object(retry, "decide", self._decide(retry.decide)))
            stack.enter_context(patch.object(filters, "uniform", lambda key, purpose: self._fraction()))
            for number, event in enumerate(self.case["events"]):
                self._play(event, number)
        for fact in self.case["expect"]:
            yield from self._check(fact)

    def _play(self, event: dict[str, Any], number: int) -> None:
        for word in _LEFT_OUT.keys() & event.keys():
            raise Skip(_LEFT_OUT[word])
        what = next((word for word in self.events if word in event), None)
        if what is None and event.keys() - {"t"}:
            raise Wrong(f"unknown event: {event}")
        words = {"t", "attempt", "retry_decision", "headers"}
        refuse_unknown(event, words | ({what} if what else set()), "event")
        if what in _OF_ATTEMPT and not isinstance(event.get("attempt"), int):
            raise Wrong(f"no attempt: {event}")
        self.scene.at(round(event.get("t", self.scene.now / SECOND) * SECOND))
        self.forced = None
        if "retry_decision" in event:
            self.forced = look_up(DECISIONS, event["retry_decision"], "retry_decision")
        if what is None:
            self._begin()
        else:
            self.events[what](event)

    def _fraction(self) -> float:
        if "random_fraction" not in self.config:
            raise Wrong("random_fraction: not given")
        return float(self.config["random_fraction"])

    def _decide(self, original: Callable[..., int]) -> Callable[..., int]:
        """The decision of the plane, or the one that the case says."""

        def decide(S: State, call: Any, cluster: Any, route: Any, wanted: bool) -> int:
            if self.forced is None or self.forced == retry.RETRY_NOW:
                return original(S, call, cluster, route, wanted or self.forced is not None)
            return self.forced

        return decide

    def _answer_reported(self, S: State, cluster_index: int, member: int, code: int, now: int) -> None:
        status = code if code < GRPC else outlier.http_status(code - GRPC)
        self.reports.append(_GRPC_4XX.get(code - GRPC, status))

    def _result_reported(self, S: State, cluster: int, member: int, result: int, code: int, now: int) -> None:
        if result != outlier.CONNECT_SUCCESS:
            self.reports.append([_RESULTS[result], code or None])

    # ------------------------------------------------------------ attempts

    @property
    def is_over(self) -> bool:
        """Whether the client has its answer."""
        return _KEY in self.scene.outcomes

    def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.scene.begin(_KEY)
        else:
            pool.cut_idle(self.scene.S, self.scene.cluster, 0)
            self.scene.again(_KEY)
        if not self.is_over:
            call = self.scene.call(_KEY)
            self.numbers[call.attempts] = call.attempt

    def _attempt(self, event: dict[str, Any]) -> int:
        """The record of the attempt that an event is about; it is begun if it is the next one."""
        made = self.scene.call(_KEY).attempts if self.has_begun and not self.is_over else 0
        if event["attempt"] == made + 1 and not self.is_over:
            self._begin()
        return self._record(event["attempt"])

    def _record(self, number: int) -> int:
        if number not in self.numbers:
            raise Wrong(f"attempt {number} is not in flight")
        return self.numbers[number]

    def _informational(self, event: dict[str, Any]) -> None:
        self._record(event["attempt"])
        outcome.forward_informational(self.scene.call(_KEY))

    def _queued(self, event: dict[str, Any]) -> None:
        must_be_true(event, "queued")
        if self.scene.S.attempt[self._attempt(event)].connection >= 0:
            raise Wrong(f"attempt {event['attempt']} does not wait")

    def _bound(self, event: dict[str, Any]) -> None:
        must_be_true(event, "bound")
        index = self._attempt(event)
        if self.scene.S.attempt[index].connection >= 0:
            raise Wrong(f"attempt {event['attempt']} has a connection already")
        self.scene.connected(self._being_set_up())
        if self.scene.S.attempt[index].connection < 0 and not self.is_over:
            raise Wrong(f"attempt {event['attempt']} got no connection")

    def _being_set_up(self) -> str:
        scene = self.scene
        for name, index in scene.connections.items():
            if scene.S.connection[index].state == pool.CONNECTING:
                return name
        raise Wrong("no connection is being set up")

    def _connect_failed(self, event: dict[str, Any]) -> None:
        if event["connect_failed"] == "overflow":
            self._overflow(event)
            return
        how = "remote_close" if event["connect_failed"] is True else event["connect_failed"]
        reset, by = look_up(_HOW, how, "connect_failed")
        self._attempt(event)
        before = self._before()
        self.scene.connect_failed(self._being_set_up(), reset, by)
        self._after(event["attempt"], before, "")

    def _overflow(self, event: dict[str, Any]) -> None:
        """The pool refuses the attempt."""
        with patch.object(self.scene.cluster, "max_pending", 0):
            if event["attempt"] in self.numbers:
                raise Wrong("an attempt that waits is not refused any more")
            self._begin()

    def _response(self, event: dict[str, Any]) -> None:
        number, index = event["attempt"], self._bound_attempt(event)
        status = event.get("response", event.get("response_headers"))
        if not isinstance(status, int) or status < 200:
            raise Wrong(f"unknown status: {status}")
        code = status
        for name, value in event.get("headers", {}).items():
            if name != "grpc-status":
                raise Skip(f"answers have no headers here: {name}")
            code = GRPC + int(value) if int(value) else status
        before = self._before()
        if "response_headers" in event:
            self.headers_only.add(number)
        self.scene.answer(index, code)
        self._after(number, before, str(status))
        if self.winner != number and number in self.headers_only:
            self.cut.add(number)

    def _bound_attempt(self, event: dict[str, Any]) -> int:
        if self.is_over and event["attempt"] in self.headers_only:
            raise Skip("an answer is one event here: nothing comes between its headers and its end")
        index = self._record(event["attempt"])
        if self.scene.S.attempt[index].connection < 0:
            raise Wrong(f"attempt {event['attempt']} has no connection")
        return index

    def _response_end(self, event: dict[str, Any]) -> None:
        if event["attempt"] not in self.headers_only:
            raise Wrong(f"attempt {event['attempt']} has no headers")
        self.headers_only.remove(event["attempt"])

    def _reset(self, event: dict[str, Any]) -> None:
        reset = look_up(RESETS, event["reset"], "reset")
        if reset == OVERFLOW:
            self._overflow(event)
            return
        if reset in (CONNECT_FAILURE, CONNECT_TIMEOUT):
            self._connect_failed({**event, "connect_failed": _how_of(reset)})
            return
        index = self._bound_attempt(event)
        before = self._before()
        outcome.upstream_reset(self.scene.S, index, reset, self.scene.now)
        self.scene.settle()
        self._after(event["attempt"], before, "")
        if reset == LOCAL_RESET:
            self.cut.add(event["attempt"])

    def _before(self) -> int:
        return self.scene.call(_KEY).scheduled

    def _after(self, number: int, scheduled: int, status: str) -> None:
        """An attempt has come to its end: note what that led to."""
        del self.numbers[number]
        if self.is_over:
            self.winner = number
            self._note_given_up()
        elif self.scene.call(_KEY).scheduled > scheduled and status:
            self.retried[status] += 1
        if not status:
            self.was_reset.add(number)

    def _note_given_up(self) -> None:
        for number, index in list(self.numbers.items()):
            if index in self.scene.given_up:
                del self.numbers[number]
                self.cut.add(number)

    # ------------------------------------------------------------ timers, hosts

    def _per_try_timeout(self, event: dict[str, Any]) -> None:
        must_be_true(event, "per_try_timeout")
        if self.is_over:
            return  # it fires late, and is ignored
        number = event.get("attempt", self.scene.call(_KEY).attempts)
        self.scene.given_up.clear()
        self.scene.per_try_timeout(self._record(number))
        self._note_given_up()

    def _route_timeout(self, event: dict[str, Any]) -> None:
        must_be_true(event, "route_timeout")
        if self.is_over and self.headers_only:
            raise Skip("an answer is one event here: no timeout can cut it")
        if self.scene.call(_KEY).timer == NONE:
            raise Wrong("the route has no timeout")
        self.scene.given_up.clear()
        self.scene.give_up(_KEY)
        self._note_given_up()

    def _no_host(self, event: dict[str, Any]) -> None:
        must_be_true(event, "no_host")
        for member in self.scene.S.member:
            member.check_failed = 1
        balance.refresh(self.scene.S, 0, self.scene.now)
        self._begin()

    # ------------------------------------------------------------ expectations

    def _check(self, fact: dict[str, Any]) -> Iterator[str]:
        if "final" in fact:
            refuse_unknown(fact, {"after", "final"}, "expectation")
            return self._check_final(fact["final"])
        if "final_stat" in fact:
            refuse_unknown(fact, {"after", "final_stat", "value"}, "expectation")
            stats = statistics_of(self.scene.cluster, {})
            stats |= {f"retry.upstream_rq_{code}": number for code, number in self.retried.items()}
            found = statistic(fact["final_stat"], stats, self.scene.S.member)
            return compare(fact["final_stat"], found, fact["value"])
        if "outlier_reports" in fact:
            refuse_unknown(fact, {"after", "outlier_reports"}, "expectation")
            wanted = [_plain(report) for report in fact["outlier_reports"]]
            return compare("outlier_reports", self.reports, wanted)
        raise Wrong(f"unknown expectation: {fact}")

    def _check_final(self, wanted: dict[str, Any]) -> Iterator[str]:
        refuse_unknown(wanted, _FINAL, "final")
        if not self.is_over:
            yield "the request has no outcome"
            return
        end = self.scene.outcomes[_KEY]
        found: dict[str, Any] = {
            "client_status": 200 if end.code >= GRPC else end.code,
            "flag": sorted(name for flag, name in NAMES.items() if end.flags & flag),
            "attempts": end.attempts,
            "from_attempt": self.winner,
            "reset_attempts": sorted(self.cut),
            "truncated": False,
            "body": self._body(end.flags),
        }
        for name, value in wanted.items():
            if name == "headers":
                yield from self._check_headers(value)
            elif name == "flag":
                flags = sorted(filter(None, (value or "").replace("-", "").split(",")))
                yield from compare("flag", found["flag"], flags)
            else:
                yield from compare(name, found[name], value)

    def _last_reset(self) -> int:
        """The reset that ended the request, or 0."""
        if self.winner is None and self.scene.outcomes[_KEY].flags & UO:
            return OVERFLOW
        return self.scene.resets.get(_KEY, 0) if self.winner in self.was_reset else 0

    def _body(self, flags: int) -> str:
        for flag, text in _BODIES.items():
            if flags & flag:
                return text
        reset = self._last_reset()
        if reset == 0:
            return ""
        again = "" if self.scene.outcomes[_KEY].attempts == 1 else "retried and the latest "
        return f"{_RESET}{again}reset reason: {_REASONS[reset]}"

    def _check_headers(self, wanted: dict[str, str]) -> Iterator[str]:
        end = self.scene.outcomes[_KEY]
        found = {"x-envoy-attempt-count": str(end.attempts)}
        if end.flags & DO:
            found["x-envoy-drop-overload"] = "true"
        if self._last_reset() == OVERFLOW:
            found["x-envoy-overloaded"] = "true"
        for name, value in wanted.items():
            yield from compare(f"header {name}", found.get(name), None if value is None else str(value))


def _duration(config: Mapping[str, Any], name: str, headers: Mapping[str, str], header: str) -> int:
    """A timeout in ns: that of the header, in ms, or that of the config, in seconds."""
    if headers.get(header, "").isdigit():
        return int(headers[header]) * MS
    return round(float(config.get(name, 0)) * SECOND)


def _how_of(reset: int) -> str:
    return "timeout" if reset == CONNECT_TIMEOUT else "remote_close"


def _plain(report: Any) -> Any:
    """A report as it is recorded: a status, or a result with its status or None."""
    if isinstance(report, int):
        return report
    parts = [report] if isinstance(report, str) else list(report)
    return [parts[0], (parts[1] if len(parts) > 1 else None) or None]
