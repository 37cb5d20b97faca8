"""Envoy's response flags, as bits: a failure can carry several (`UT,URX`).

* `NO_FLAG` with a 5xx means that the upstream host itself answered so; Envoy prints `-`.
* A failed request keeps the flags of the failure *at its origin*: what a client sees as a plain 500
  is reported as, say, UO at the service whose pool overflowed.
"""

from __future__ import annotations

NO_FLAG = 0
UO = 1  # upstream overflow: a limit of the caller's connection pool
UH = 2  # no healthy upstream host
UT = 4  # upstream request timeout
URX = 8  # retry limit exceeded
DC = 16  # downstream connection termination: the client left

NAMES = {UO: "UO", UH: "UH", UT: "UT", URX: "URX", DC: "DC"}

MEANINGS = {
    "-": "the upstream host itself answered with an error",
    "UO": "refused by the caller's connection pool: a limit was reached",
    "UH": "no healthy upstream host to choose from",
    "UT": "no answer within the route or per-try timeout",
    "URX": "the retry limit was reached",
    "DC": "the client left before the answer came",
}


def text(flags: int) -> str:
    """Flags as Envoy's access log prints them: comma-separated, `-` for none."""
    return ",".join(name for bit, name in NAMES.items() if flags & bit) or "-"
