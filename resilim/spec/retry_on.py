"""What a `retryOn` may name, and how Envoy reads such lists.

* Istio takes the list apart at commas and trims nothing: `5xx, reset` is refused. `Retries` does that.
* Envoy trims what is between commas, skips what it does not know, and says whether it knew everything.
* Of a list of status codes Envoy takes the entries that are whole numbers, and skips the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from resilim.spec.base import Finding
from resilim.spec.problems import nearest
from resilim.spec.units import quoted

GRPC_STATUS = {
    "cancelled": 1,
    "deadline-exceeded": 4,
    "resource-exhausted": 8,
    "internal": 13,
    "unavailable": 14,
}
RETRIABLE_STATUS_CODES = "retriable-status-codes"
ENVOY_RATELIMITED = "envoy-ratelimited"
HTTP_TOKENS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    RETRIABLE_STATUS_CODES,
    ENVOY_RATELIMITED,
)
_NOT_SIMULATED = ("retriable-headers", "http3-post-connect-failure")
_KNOWN = (*HTTP_TOKENS, *GRPC_STATUS)
_STATUS_CODE = re.compile(r"\s*\+?(?P<digits>[0-9]+)\s*")


def parse_retry_on(text: str) -> tuple[tuple[str, ...], bool]:
    """The conditions that Envoy knows in a list, and whether it knew all of them."""
    return _parse(text, (*HTTP_TOKENS, *_NOT_SIMULATED))


def parse_retry_grpc_on(text: str) -> tuple[tuple[str, ...], bool]:
    """The gRPC conditions that Envoy knows in a list, and whether it knew all of them."""
    return _parse(text, tuple(GRPC_STATUS))


def parse_status_codes(text: str) -> tuple[int, ...]:
    """The status codes of a list; entries that are no whole numbers are skipped."""
    found = (_STATUS_CODE.fullmatch(entry) for entry in text.split(","))
    return tuple(int(entry["digits"]) for entry in found if entry)


def _parse(text: str, known: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    entries = [entry.strip() for entry in text.split(",")]
    entries = [entry for entry in entries if entry]
    valid = tuple(entry for entry in entries if entry in known)
    return valid, len(valid) == len(entries)


def status_codes(text: str) -> tuple[int, ...]:
    """The status codes in Istio's `retryOn`."""
    return tuple(int(token) for token in text.split(",") if _is_code(token))


def conditions(text: str) -> tuple[str, ...]:
    """The conditions in Istio's `retryOn`, without the status codes."""
    return tuple(token for token in text.split(",") if token in _KNOWN)


def retry_on_findings(text: str) -> Iterator[Finding]:
    """What is wrong with Istio's `retryOn`."""
    tokens = text.split(",")
    for token in tokens:
        yield from _token_finding(token)
    if RETRIABLE_STATUS_CODES in tokens and not status_codes(text):
        message = f"{RETRIABLE_STATUS_CODES} without a status code retries nothing; add codes, e.g. 503"
        yield Finding(("retryOn",), message)


def _token_finding(token: str) -> Iterator[Finding]:
    if token in (*_NOT_SIMULATED, ENVOY_RATELIMITED):  # no rate limit here marks its answers as such
        message = f"{quoted(token)} is a retryOn policy that resilim does not simulate yet; remove it"
        yield Finding(("retryOn",), message)
        return
    if token in _KNOWN or _is_code(token):
        return
    yield Finding(
        ("retryOn",), f"{quoted(token)} is not a valid retryOn policy", nearest(token.strip(), _KNOWN)
    )


def _is_code(token: str) -> bool:
    return token.isascii() and token.isdigit() and 200 <= int(token[:4]) <= 599
