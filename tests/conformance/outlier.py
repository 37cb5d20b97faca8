"""Cases of outlier detection, replayed with the data plane's own detector.

* The config goes through the same validation as an `outlierDetection` block of a user's file.
* Statistics are read by Envoy's names, as they are written to a user's file.
* `random` is what Envoy draws for the jitter of each ejection; nothing else is drawn in a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn
from unittest.mock import patch

from pydantic import ValidationError

from resilim.plane import ejection, health, luck, outlier, success_rate
from resilim.plane.kinds import EJECTED, EJECTION_NOT_ENFORCED
from resilim.plane.machine import scramble
from resilim.plane.record import dtype_of
from resilim.plane.records import Detector, Member
from resilim.spec.envoy import EnvoyOutlierDetection
from resilim.study.envoy_stats import stats_lines
from tests.conformance.cases import Case, Skip
from tests.conformance.checks import Wrong, compare, fields_of, refuse_unknown
from tests.facts.detector_scene import MS, SECOND, DetectorScene, Note, detector_scene

_DURATIONS = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
_CASE_KEYS = {
    *("id", "source", "evidence", "config", "hosts", "events", "expect", "note"),
    *("priorities", "active_health_check", "random", "kind", "profile", "optional"),
}
_RESULTS = {
    "connect_success": outlier.CONNECT_SUCCESS,
    "connect_success_final": outlier.CONNECT_SUCCESS_FINAL,
    "connect_failure": outlier.CONNECT_FAILURE,
    "timeout": outlier.TIMEOUT,
    "ext_success": outlier.EXT_SUCCESS,
    "ext_failure": outlier.EXT_FAILURE,
}
_LOG_TYPES = {
    "CONSECUTIVE_5XX": ejection.CONSECUTIVE_5XX,
    "CONSECUTIVE_GATEWAY_FAILURE": ejection.CONSECUTIVE_GATEWAY_FAILURE,
    "CONSECUTIVE_LOCAL_ORIGIN_FAILURE": ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    "SUCCESS_RATE": ejection.SUCCESS_RATE,
    "SUCCESS_RATE_LOCAL_ORIGIN": ejection.SUCCESS_RATE_LOCAL_ORIGIN,
    "FAILURE_PERCENTAGE": ejection.FAILURE_PERCENTAGE,
    "FAILURE_PERCENTAGE_LOCAL_ORIGIN": ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN,
}
_WINDOWS = {"external": success_rate.EXTERNAL, "local": success_rate.LOCAL}
_STATS = "outlier_detection."
_ALL_HOSTS = "all"


def replay(case: Case) -> list[str]:
    """What is wrong in a case."""
    try:
        refuse_unknown(case, _CASE_KEYS, "case")
        if not case.get("expect"):
            raise Wrong("nothing is expected")
        kind = case.get("kind")
        if kind == "pure-function":
            return _pure_function(case)
        if kind == "router-report":
            return _router_report(case)
        return _script(case)
    except Wrong as wrong:
        return [str(wrong)]


# ---------------------------------------------------------------- config


def _nanoseconds(key: str, value: Any) -> tuple[str, Any]:
    """Name and inside value of a setting of a case."""
    if key.endswith("_ms") and key[:-3] in _DURATIONS:
        return key[:-3], round(value * MS)
    return (key, round(value * SECOND)) if key in _DURATIONS else (key, value)


def _settings(config: dict[str, Any]) -> EnvoyOutlierDetection:
    """The settings of a case as a user's; ValidationError when they are refused."""
    given = dict(_nanoseconds(key, value) for key, value in config.items())
    refuse_unknown(given, set(EnvoyOutlierDetection.model_fields), "config")
    return EnvoyOutlierDetection.of(**given)


def _detector_fields(settings: EnvoyOutlierDetection) -> dict[str, int]:
    """The fields of a detector with these settings: they have the same names."""
    names = set(dtype_of(Detector).names or ()) & set(EnvoyOutlierDetection.model_fields)
    fields = {name: int(getattr(settings, name)) for name in names - {"max_ejection_time"}}
    return {**fields, "max_ejection_time": settings.longest_ejection}


def _effective(settings: EnvoyOutlierDetection, wanted: dict[str, Any]) -> Iterator[str]:
    """What is not as wanted in the settings in effect."""
    effective = _detector_fields(settings)
    for key, value in wanted.items():
        name, inside = _nanoseconds(key, value)
        if name not in effective:
            raise Wrong(f"effective_config: unknown {key}")
        if effective[name] != inside:
            yield f"effective_config: {key} is {effective[name]}, not {inside}"


# ---------------------------------------------------------------- a script of events


def _script(case: Case) -> list[str]:
    """Replay the events of a case, and check its expectations after each."""
    expected = list(case["expect"])
    is_to_be_refused = any(fact.get("config_rejected") for fact in expected)
    try:
        settings = _settings(case.get("config", {}))
    except ValidationError as error:
        return [] if is_to_be_refused else [f"config: {item['msg']}" for item in error.errors()]
    if is_to_be_refused:
        return ["config: is not rejected"]
    fields = _detector_fields(settings)
    with detector_scene(case.get("hosts", 0), case.get("priorities", ()), **fields) as scene, _luck(case):
        if case.get("active_health_check"):
            scene.checker.interval = scene.checker.healthy_threshold = scene.checker.unhealthy_threshold = 1
        return list(_run(case, settings, scene))


def _run(case: Case, settings: EnvoyOutlierDetection, scene: DetectorScene) -> Iterator[str]:
    facts: dict[int, list[dict[str, Any]]] = {}
    whole = []
    for fact in case["expect"]:
        if fact.keys() & {"event_log", "effective_config"}:
            whole.append(fact)
        elif isinstance(fact.get("after"), int) and -1 <= fact["after"] < len(case["events"]):
            facts.setdefault(fact["after"], []).append(fact)
        else:
            raise Wrong(f"expectation after no event: {fact}")
    yield from _check_all(facts.get(-1, []), scene)
    for number, event in enumerate(case["events"]):
        _play(event, scene)
        yield from _check_all(facts.get(number, []), scene)
    for fact in whole:
        refuse_unknown(fact, {"event_log", "effective_config"}, "expectation")
        if "event_log" in fact:
            yield from _check_log(fact["event_log"], scene)
        if "effective_config" in fact:
            yield from _effective(settings, fact["effective_config"])


@contextmanager
def _luck(case: Case) -> Iterator[None]:
    """Draw the jitters from the random numbers of a case, if it has some."""
    if "random" not in case:
        yield
        return
    numbers = iter(case["random"])

    def draw(key: int, purpose: int) -> int:
        if purpose != luck.EJECTION_JITTER:
            return scramble(key, purpose)
        number = next(numbers, None)
        if number is None:
            raise Wrong("random: more is drawn than is given")
        return int(number)

    with patch.object(ejection, "scramble", draw):
        yield


# ---------------------------------------------------------------- events


def _play(event: dict[str, Any], scene: DetectorScene) -> None:
    now = round(event["t"] * SECOND)
    if now < scene.now:
        raise Wrong(f"time goes back: {event}")
    scene.until(now)
    what = next((name for name in _EVENTS if name in event), None)
    if what is None:
        raise Wrong(f"unknown event: {event}")
    play, words = _EVENTS[what]
    refuse_unknown(event, {"t", what, *words}, "event")
    play(scene, event)


def _play_result(scene: DetectorScene, event: dict[str, Any]) -> None:
    for _ in range(event.get("count", 1)):
        for host in _hosts(event, scene):
            _report(scene, host, event["result"], event.get("code", 0))


def _report(scene: DetectorScene, host: int, result: Any, code: int) -> None:
    if isinstance(result, int) and not isinstance(result, bool):
        scene.answer(result, member=host)
    elif result in _RESULTS:
        scene.report(_RESULTS[result], member=host, code=code)
    else:
        raise Wrong(f"unknown result: {result}")


def _play_sequence(scene: DetectorScene, event: dict[str, Any]) -> None:
    for _ in range(event["repeat"]):
        for part in event["sequence"]:
            refuse_unknown(part, {"host", "result", "code", "count"}, "sequence")
            _play_result(scene, part)


def _play_interval(scene: DetectorScene, event: dict[str, Any]) -> None:
    _must_be_true(event, "interval")
    scene.sweep()


def _play_health_check(scene: DetectorScene, event: dict[str, Any]) -> None:
    if event["health_check"] != "success":
        raise Wrong(f"unknown result of a health check: {event['health_check']}")
    if scene.checker.interval == 0:
        raise Wrong("a health check, but no active_health_check")
    for host in _hosts(event, scene):
        health.check(scene.S, host, health.PASSED, scene.now)


def _play_remove(scene: DetectorScene, event: dict[str, Any]) -> None:
    scene.remove(*(host for number in event["remove_hosts"] for host in _hosts({"host": number}, scene)))


def _play_destroy(scene: DetectorScene, event: dict[str, Any]) -> None:
    _must_be_true(event, "destroy_detector")
    outlier.destroy(scene.S, 0)


def _play_posts(scene: DetectorScene, event: dict[str, Any]) -> NoReturn:
    raise Skip("threads: there is no hand-over between threads here")


def _must_be_true(event: dict[str, Any], word: str) -> None:
    if event[word] is not True:
        raise Wrong(f"unknown {word}: {event[word]}")


# What a word of an event does, and the words that may go with it.
_EVENTS: dict[str, tuple[Callable[[DetectorScene, dict[str, Any]], None], set[str]]] = {
    "result": (_play_result, {"host", "code", "count"}),
    "sequence": (_play_sequence, {"repeat"}),
    "interval": (_play_interval, set()),
    "health_check": (_play_health_check, {"host"}),
    "remove_hosts": (_play_remove, set()),
    "destroy_detector": (_play_destroy, set()),
    "hold_posts": (_play_posts, set()),
    "deliver_posts": (_play_posts, set()),
}


def _hosts(words: dict[str, Any], scene: DetectorScene) -> list[int]:
    """The hosts that an event or an expectation is about."""
    host = words["host"]
    if host == _ALL_HOSTS:
        return list(range(len(scene.members)))
    if not isinstance(host, int) or not 0 <= host < len(scene.members):
        raise Wrong(f"no such host: {host}")
    return [host]


# ---------------------------------------------------------------- expectations


def _check_all(facts: list[dict[str, Any]], scene: DetectorScene) -> Iterator[str]:
    for fact in facts:
        if "host" in fact:
            check, words = _check_host, {"host", "monitor", *_OF_HOST, "success_rate"}
        elif "monitor" in fact:
            check, words = _check_monitor, {"monitor", "average", "threshold"}
        else:
            check, words = _check_stat, {"stat", "value"}
        refuse_unknown(fact, {"after", *words}, "expectation")
        for problem in check(fact, scene):
            yield f"after event {fact['after']}: {problem}"


_OF_HOST: dict[str, Callable[[Member], float]] = {
    "ejected": lambda member: bool(member.ejected),
    "ever_unejected": lambda member: member.unejected_at >= 0,
    "jitter_ms": lambda member: member.jitter / MS,
}


def _check_host(fact: dict[str, Any], scene: DetectorScene) -> Iterator[str]:
    wanted: dict[str, Callable[[Member], float]] = {name: _OF_HOST[name] for name in _OF_HOST if name in fact}
    if "success_rate" in fact:
        wanted["success_rate"] = partial(success_rate.rate, window=_window(fact))
    if not wanted:
        raise Wrong(f"nothing is expected: {fact}")
    for host in _hosts(fact, scene):
        for name, of in wanted.items():
            yield from compare(f"host {host}: {name}", of(scene.members[host]), fact[name])


def _window(fact: dict[str, Any]) -> int:
    if fact["monitor"] not in _WINDOWS:
        raise Wrong(f"unknown monitor: {fact['monitor']}")
    return _WINDOWS[fact["monitor"]]


def _check_monitor(fact: dict[str, Any], scene: DetectorScene) -> Iterator[str]:
    detector = scene.detector
    if _window(fact) == success_rate.LOCAL:
        found = {"average": detector.local_average, "threshold": detector.local_threshold}
    else:
        found = {"average": detector.external_average, "threshold": detector.external_threshold}
    if not found.keys() & fact.keys():
        raise Wrong(f"nothing is expected: {fact}")
    for name in found.keys() & fact.keys():
        yield from compare(f"{fact['monitor']} {name}", found[name], fact[name])


def _check_stat(fact: dict[str, Any], scene: DetectorScene) -> Iterator[str]:
    if not {"stat", "value"} <= fact.keys():
        raise Wrong(f"nothing is expected: {fact}")
    stats = _stats(scene)
    name = fact["stat"].rpartition(_STATS)[2]
    if name not in stats:
        raise Wrong(f"unknown stat: {fact['stat']}")
    yield from compare(fact["stat"], stats[name], fact["value"])


def _stats(scene: DetectorScene) -> dict[str, int]:
    """The statistics of the detector by Envoy's names."""
    lines = stats_lines(fields_of(scene.cluster), fields_of(scene.detector), fields_of(scene.checker), [])
    return {name.removeprefix(_STATS): value for name, value in lines if name.startswith(_STATS)}


def _check_log(wanted: dict[str, Any], scene: DetectorScene) -> Iterator[str]:
    refuse_unknown(wanted, {"host", "type", "enforced", "times"}, "event_log")
    if wanted["type"] not in _LOG_TYPES:
        raise Wrong(f"event_log: unknown type {wanted['type']}")
    kind = EJECTED if wanted["enforced"] else EJECTION_NOT_ENFORCED
    (host,) = _hosts(wanted, scene)
    times = scene.notes.count(Note(kind, host, _LOG_TYPES[wanted["type"]]))
    yield from compare(f"event_log: {wanted['type']} of host {host}", times, wanted["times"])


# ---------------------------------------------------------------- other kinds


def _pure_function(case: Case) -> list[str]:
    """Rates to mean and threshold, with the default factor."""
    known = [*case.get("events", []), *case["expect"]]
    rates = next((words["threshold_of"] for words in known if "threshold_of" in words), None)
    if rates is None:
        raise Wrong("unknown function")
    problems: list[str] = []
    with detector_scene(len(rates)) as scene:
        for member, rate in zip(scene.members, rates, strict=True):
            member.external_total, member.external_rate = 1000, rate
        success_rate.judge_rates(scene.S, 0, success_rate.EXTERNAL, len(rates), 0)
        for fact in case["expect"]:
            refuse_unknown(fact, {"after", "threshold_of", "average", "threshold"}, "expectation")
            problems += _check_monitor({**fact, "monitor": "external"}, scene)
    return problems


# The statuses that an error matcher lists, by what the case says of it and the status of the answer.
_MATCHERS: dict[str, Callable[[int], list[int]]] = {
    "not configured": lambda status: [],
    "matches": lambda status: [status],
    "does not match": lambda status: [status + 1],
}


def _router_report(case: Case) -> list[str]:
    """What an answer counts as, under an error matcher or none."""
    refuse_unknown(case.get("config", {}), {"error_matcher"}, "config")
    matcher = case.get("config", {}).get("error_matcher", "not configured")
    if matcher not in _MATCHERS:
        raise Wrong(f"unknown error_matcher: {matcher}")
    problems = []
    for number, event in enumerate(case["events"]):
        refuse_unknown(event, {"t", "host", "upstream_response"}, "event")
        found = _reported(matcher, event["upstream_response"])
        for fact in case["expect"]:
            refuse_unknown(fact, {"after", "reported", "reported_code"}, "expectation")
            if fact.get("after") not in range(len(case["events"])):
                raise Wrong(f"expectation after no event: {fact}")
            if fact["after"] == number:
                wrong = [name for name in found.keys() & fact.keys() if found[name] != fact[name]]
                problems += [f"{name} is {found[name]}, not {fact[name]}" for name in wrong]
    return problems


def _reported(matcher: str, status: int) -> dict[str, Any]:
    """Whether an answer with a status is a success to the detector, and the status that counts."""
    with detector_scene() as scene:
        codes = _MATCHERS[matcher](status)
        scene.S.code = codes
        scene.detector.error_codes = len(codes)
        if codes:
            outlier.matched_response(scene.S, 0, 0, status, 0)
            status = outlier.matched_status(scene.S, scene.detector, status)
        else:
            outlier.response(scene.S, 0, 0, status, 0)
        failed = scene.members[0].external_failed
    return {"reported": "ext_failure" if failed else "ext_success", "reported_code": status}
